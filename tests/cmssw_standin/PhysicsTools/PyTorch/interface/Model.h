// A stand-in of `cms::torch::Model`: the published interface and the real LibTorch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "PhysicsTools/PyTorch/interface/TorchInterface.h"
#include "standin.h"

namespace cms::torch {
  class Model {
  public:
    explicit Model(const std::string& model_path, bool auto_freeze = true) : Model(model_path, ::torch::kCPU, auto_freeze) {}
    explicit Model(const std::string& model_path, ::torch::Device dev, bool auto_freeze = true)
        : model_(load(model_path, dev)), device_(dev), auto_freeze_(auto_freeze) {}

    // Freezes at the first call if it was asked for; a frozen model cannot move.
    void to(::torch::Device dev, const bool non_blocking = false, std::optional<::torch::Dtype> dtype = std::nullopt) {
      if (dev != device_ || dtype) {
        if (frozen_)
          throw cms::Exception("TorchModelError") << "a frozen model cannot move";
        if (dtype)
          model_.to(dev, *dtype, non_blocking);
        else
          model_.to(dev, non_blocking);
        device_ = dev;
      }
      if (auto_freeze_ && !frozen_)
        freeze();
    }

    void freeze() {
      model_ = ::torch::jit::freeze(model_);
      frozen_ = true;
    }

    ::torch::IValue forward(std::vector<::torch::IValue>& inputs) { return model_.forward(inputs); }
    ::torch::Device device() const { return device_; }

  protected:
    static ::torch::jit::Module load(const std::string& model_path, ::torch::Device dev) {
      try {
        auto model = ::torch::jit::load(model_path, dev);
        model.eval();
        return model;
      } catch (const c10::Error& error) {
        throw cms::Exception("TorchModelError") << model_path << ": " << error.what_without_backtrace();
      }
    }

    ::torch::jit::Module model_;
    ::torch::Device device_;
    bool auto_freeze_, frozen_ = false;
  };
}  // namespace cms::torch
