// A stand-in for Athena's asg::AsgTool and what comes with it, with only what the consumer `athena` uses.
#pragma once

#include <iostream>
#include <string>

#include "AsgTools/IAsgTool.h"

#define ATH_MSG_ERROR(text) (std::cerr << text << "\n")
#define ATH_CHECK(call)                \
  do {                                 \
    if (!(call).isSuccess())           \
      return StatusCode::FAILURE;      \
  } while (false)

namespace asg {
  class AsgTool : virtual public IAsgTool {
  public:
    explicit AsgTool(const std::string& name) : name_(name) {}
    const std::string& name() const override { return name_; }

  private:
    std::string name_;
  };
}  // namespace asg
