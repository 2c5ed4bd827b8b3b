// A stand-in of `cms::Ort::ONNXRuntime`: the published interface and the real ONNX Runtime.
#pragma once

#include <cassert>
#include <map>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "standin.h"

namespace cms::Ort {
  using FloatArrays = std::vector<std::vector<float>>;

  class ONNXRuntime {
  public:
    explicit ONNXRuntime(const std::string& model_path, const ::Ort::SessionOptions* options = nullptr)
        : env_(ORT_LOGGING_LEVEL_ERROR, "cmssw"), session_(nullptr) {
      ::Ort::SessionOptions own;
      own.SetIntraOpNumThreads(1);
      session_ = ::Ort::Session(env_, model_path.c_str(), options ? *options : own);
      ::Ort::AllocatorWithDefaultOptions allocator;
      for (size_t i = 0; i < session_.GetInputCount(); ++i)
        inputs_[session_.GetInputNameAllocated(i, allocator).get()] =
            session_.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
    }
    ONNXRuntime(const ONNXRuntime&) = delete;
    ONNXRuntime& operator=(const ONNXRuntime&) = delete;

    FloatArrays run(const std::vector<std::string>& input_names, FloatArrays& input_values,
                    const std::vector<std::vector<int64_t>>& input_shapes = {},
                    const std::vector<std::string>& output_names = {}, int64_t batch_size = 1) const {
      assert(input_names.size() == input_values.size());
      assert(input_shapes.empty() || input_names.size() == input_shapes.size());
      assert(batch_size > 0);
      auto memory = ::Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
      std::vector<::Ort::Value> tensors;
      std::vector<const char*> inputs, outputs;
      for (size_t i = 0; i < input_names.size(); ++i) {
        const auto found = inputs_.find(input_names[i]);
        if (found == inputs_.end())
          throw cms::Exception("RuntimeError") << "Input " << input_names[i] << " is not an input of the model";
        auto shape = input_shapes.empty() ? found->second : input_shapes[i];
        shape[0] = batch_size;
        int64_t expected = 1;
        for (auto n : shape)
          expected *= n;
        if (expected != static_cast<int64_t>(input_values[i].size()))
          throw cms::Exception("RuntimeError") << "Input array " << input_names[i] << " has a wrong size of "
                                               << input_values[i].size() << ", expected " << expected;
        tensors.push_back(::Ort::Value::CreateTensor<float>(memory, input_values[i].data(), input_values[i].size(), shape.data(),
                                                            shape.size()));
        inputs.push_back(input_names[i].c_str());
      }
      for (const auto& name : output_names)
        outputs.push_back(name.c_str());
      auto answers = session_.Run(::Ort::RunOptions{nullptr}, inputs.data(), tensors.data(), tensors.size(), outputs.data(),
                                  outputs.size());
      FloatArrays result;
      for (auto& answer : answers) {
        const auto info = answer.GetTensorTypeAndShapeInfo();
        assert(info.GetShape()[0] == batch_size);
        const float* values = answer.GetTensorData<float>();
        result.emplace_back(values, values + info.GetElementCount());
      }
      return result;
    }

  private:
    ::Ort::Env env_;
    mutable ::Ort::Session session_;
    std::map<std::string, std::vector<int64_t>> inputs_;
  };
}  // namespace cms::Ort
