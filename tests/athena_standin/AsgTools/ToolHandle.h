// See AsgTool.h. The driver registers the tool that all handles get.
#pragma once

#include <string>

#include "AsgTools/IAsgTool.h"

template <typename Interface>
class ToolHandle {
public:
  template <typename Owner>
  ToolHandle(Owner*, const std::string&, const std::string&, const std::string&) {}

  static const Interface*& registered() {
    static const Interface* tool = nullptr;
    return tool;
  }

  StatusCode retrieve() { return registered() ? StatusCode::SUCCESS : StatusCode::FAILURE; }
  const Interface* operator->() const { return registered(); }
};
