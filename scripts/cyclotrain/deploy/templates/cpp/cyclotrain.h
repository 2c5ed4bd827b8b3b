// A model made by Cyclotrain, run in ONNX Runtime: branches of an ntuple in, probabilities out. C++17.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace cyclotrain {

  // The values of one example by branch: one value for a scalar branch, any number for a branch of constituents.
  using Branches = std::map<std::string, std::vector<float>>;

  class Model {
  public:
    struct Input {
      std::string branch;
      std::string set;  // the set of constituents that has the branch; empty for a scalar
    };

    // Throws Ort::Exception if the file cannot be loaded, std::runtime_error if Cyclotrain did not make it.
    explicit Model(const std::string& path, int threads = 1) : session_(environment(), path.c_str(), options(threads)) {
      Ort::AllocatorWithDefaultOptions allocator;
      auto names = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("cyclotrain.classes", allocator);
      if (!names)
        throw std::runtime_error(path + ": not a model made by Cyclotrain; its metadata has no list of classes");
      std::string list = names.get();
      for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
        end = list.find(',', begin);
        classes_.push_back(list.substr(begin, end == std::string::npos ? end : end - begin));
      }
      for (size_t i = 0; i < session_.GetInputCount(); ++i) {
        std::string name = session_.GetInputNameAllocated(i, allocator).get();
        auto type = session_.GetInputTypeInfo(i);
        auto shape = type.GetTensorTypeAndShapeInfo();
        std::array<const char*, 2> axes{};
        shape.GetSymbolicDimensions(axes.data(), axes.size());
        inputs_.push_back({std::move(name), shape.GetShape().at(1) == 1 ? "" : axes[1]});
      }
    }

    const std::vector<Input>& inputs() const { return inputs_; }
    const std::vector<std::string>& classes() const { return classes_; }

    // The probability of each class.
    std::vector<float> operator()(const Branches& example) const { return evaluate({example}).front(); }

    // The same for several examples at once: [example][class]. Throws std::invalid_argument, which names the branch, if a
    // branch is missing or has the wrong number of values.
    std::vector<std::vector<float>> evaluate(const std::vector<Branches>& examples) const {
      if (examples.empty())
        return {};
      std::map<std::string, size_t> longest;
      for (const auto& example : examples)
        check(example, longest);
      const auto n = static_cast<int64_t>(examples.size());
      auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
      std::vector<std::vector<float>> values(inputs_.size());
      std::vector<Ort::Value> tensors;
      std::vector<const char*> names;
      for (size_t i = 0; i < inputs_.size(); ++i) {
        // zero-padded to the longest example, at least one slot
        const size_t length = inputs_[i].set.empty() ? 1 : std::max<size_t>(longest.at(inputs_[i].set), 1);
        values[i].resize(examples.size() * length);
        for (size_t row = 0; row < examples.size(); ++row) {
          const auto& branch = examples[row].at(inputs_[i].branch);
          std::copy(branch.begin(), branch.end(), values[i].begin() + row * length);
        }
        const std::array<int64_t, 2> shape{n, static_cast<int64_t>(length)};
        tensors.push_back(Ort::Value::CreateTensor<float>(memory, values[i].data(), values[i].size(), shape.data(), 2));
        names.push_back(inputs_[i].branch.c_str());
      }
      const char* output = "probabilities";
      auto outputs = session_.Run(Ort::RunOptions{nullptr}, names.data(), tensors.data(), tensors.size(), &output, 1);
      const float* probabilities = outputs.front().GetTensorData<float>();
      std::vector<std::vector<float>> result;
      for (size_t row = 0; row < examples.size(); ++row)
        result.emplace_back(probabilities + row * classes_.size(), probabilities + (row + 1) * classes_.size());
      return result;
    }

  private:
    static Ort::Env& environment() {
      static Ort::Env instance(ORT_LOGGING_LEVEL_WARNING, "cyclotrain");
      return instance;
    }

    static Ort::SessionOptions options(int threads) {
      Ort::SessionOptions session_options;
      session_options.SetIntraOpNumThreads(threads);
      return session_options;
    }

    void check(const Branches& example, std::map<std::string, size_t>& longest) const {
      std::map<std::string, std::pair<std::string, size_t>> first;  // for each set its first branch and the length of this
      for (const auto& [branch, set] : inputs_) {
        const auto entry = example.find(branch);
        if (entry == example.end())
          throw std::invalid_argument("branch '" + branch + "' is missing");
        const size_t n = entry->second.size();
        if (set.empty() && n != 1)
          throw std::invalid_argument("branch '" + branch + "' has " + std::to_string(n) + " values; the model takes one");
        if (set.empty())
          continue;
        const auto& [other, length] = first.try_emplace(set, branch, n).first->second;
        if (n != length)
          throw std::invalid_argument("branches of one set have different lengths: '" + other + "' has " +
                                      std::to_string(length) + ", '" + branch + "' has " + std::to_string(n));
        longest[set] = std::max(longest[set], n);
      }
    }

    mutable Ort::Session session_;  // Run does not change it; many threads may call Run at the same time
    std::vector<Input> inputs_;
    std::vector<std::string> classes_;
  };

}  // namespace cyclotrain
