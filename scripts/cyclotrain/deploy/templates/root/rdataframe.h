// The model as a column of an RDataFrame:
//   auto with_scores = cyclotrain::define(frame, "probabilities", "model.onnx");
// adds an RVec<float> with one probability per class. It finds the branches by their names.
// In Python: ROOT.gInterpreter.AddIncludePath(<ONNX Runtime's headers>), ROOT.gSystem.Load(<libonnxruntime.so>), then
// ROOT.gInterpreter.Declare('#include "rdataframe.h"'). In C++, also declare it to the interpreter, because the types of the
// columns are known only at run time.
#pragma once

#include <deque>
#include <string>
#include <type_traits>

#include <ROOT/RDataFrame.hxx>
#include <ROOT/RVec.hxx>

#include "../cpp/cyclotrain.h"

namespace cyclotrain {

  inline std::deque<Model>& loaded_models() {
    static std::deque<Model> models;  // a deque: its elements do not move when it grows
    return models;
  }

  template <typename T>
  std::vector<float> values(const T& column) {
    if constexpr (std::is_arithmetic_v<T>)
      return {static_cast<float>(column)};
    else
      return std::vector<float>(column.begin(), column.end());
  }

  // `columns`: in the order of the model's inputs.
  inline ROOT::VecOps::RVec<float> evaluate_columns(size_t model, const std::vector<std::vector<float>>& columns) {
    Branches example;
    for (size_t i = 0; i < columns.size(); ++i)
      example[loaded_models()[model].inputs()[i].branch] = columns[i];
    const auto probabilities = loaded_models()[model](example);
    return {probabilities.begin(), probabilities.end()};
  }

  // All threads of the event loop share one session, which runs on one thread.
  inline ROOT::RDF::RNode define(ROOT::RDF::RNode frame, const std::string& column, const std::string& model_path) {
    const auto& model = loaded_models().emplace_back(model_path);
    // Use the branch names only as columns: RDataFrame replaces them even inside strings.
    std::string columns;
    for (const auto& input : model.inputs())
      columns += (columns.empty() ? "" : ", ") + ("cyclotrain::values(" + input.branch + ")");
    const auto index = std::to_string(loaded_models().size() - 1);
    return frame.Define(column, "cyclotrain::evaluate_columns(" + index + ", {" + columns + "})");
  }

}  // namespace cyclotrain
