// A stand-in for Athena's interface of this name (Control/AthOnnx/AthOnnxInterfaces): the same types and method.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "AsgTools/IAsgTool.h"

namespace AthInfer {
  using DataVariant = std::variant<std::vector<float>, std::vector<int64_t>>;
  using InferenceData = std::pair<std::vector<int64_t>, DataVariant>;
  using InputDataMap = std::map<std::string, InferenceData>;
  using OutputDataMap = std::map<std::string, InferenceData>;

  class IAthInferenceTool : virtual public asg::IAsgTool {
  public:
    virtual StatusCode inference(InputDataMap& inputs, OutputDataMap& outputs) const = 0;
  };
}  // namespace AthInfer
