// See AsgTool.h.
#pragma once

#include <string>

class StatusCode {
public:
  enum Code { FAILURE, SUCCESS };
  StatusCode(Code code) : code_(code) {}
  [[nodiscard]] bool isSuccess() const { return code_ == SUCCESS; }

private:
  Code code_;
};

namespace asg {
  class IAsgTool {
  public:
    virtual ~IAsgTool() = default;
    virtual StatusCode initialize() { return StatusCode::SUCCESS; }
    virtual const std::string& name() const = 0;
  };
}  // namespace asg

#define ASG_TOOL_INTERFACE(name)
