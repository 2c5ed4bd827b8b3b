// A stand-in for the classes of basf2's mva/methods/include/ONNX.h, with only the members that the consumer `basf2` uses.
// Like there, the session runs on one thread and writes into tensors that the caller made.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace Belle2::MVA::ONNX {

  class BaseTensor {
  public:
    virtual ~BaseTensor() = default;
    virtual Ort::Value createOrtTensor() = 0;
  };

  template <typename T>
  class Tensor : public BaseTensor {
  public:
    Tensor(std::vector<T> values, std::vector<int64_t> shape) : values_(std::move(values)), shape_(std::move(shape)) {
      size_t size = 1;
      for (const auto n : shape_)
        size *= n;
      if (size != values_.size())
        throw std::length_error("the shape does not fit the number of values");
    }

    static auto make_shared(std::vector<T> values, std::vector<int64_t> shape) {
      return std::make_shared<Tensor>(std::move(values), std::move(shape));
    }

    auto& at(size_t index) { return values_.at(index); }

    Ort::Value createOrtTensor() override {
      return Ort::Value::CreateTensor(memory_, values_.data(), values_.size(), shape_.data(), shape_.size());
    }

  private:
    std::vector<T> values_;
    std::vector<int64_t> shape_;
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  };

  class Session {
  public:
    explicit Session(const std::string& filename) {
      Ort::SessionOptions options;
      options.SetIntraOpNumThreads(1);
      session_ = std::make_unique<Ort::Session>(environment_, filename.c_str(), options);
    }

    using Tensors = std::map<std::string, std::shared_ptr<BaseTensor>>;

    void run(const Tensors& inputs, const Tensors& outputs) {
      std::vector<const char*> input_names, output_names;
      std::vector<Ort::Value> input_values, output_values;
      for (const auto& [name, tensor] : inputs) {
        input_names.push_back(name.c_str());
        input_values.push_back(tensor->createOrtTensor());
      }
      for (const auto& [name, tensor] : outputs) {
        output_names.push_back(name.c_str());
        output_values.push_back(tensor->createOrtTensor());
      }
      session_->Run(Ort::RunOptions{nullptr}, input_names.data(), input_values.data(), input_values.size(),
                    output_names.data(), output_values.data(), output_values.size());
    }

  private:
    Ort::Env environment_;
    std::unique_ptr<Ort::Session> session_;
  };

}  // namespace Belle2::MVA::ONNX
