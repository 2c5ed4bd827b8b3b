// The model as a column of an RDataFrame:
//   auto with_scores = cyclotrain::define(frame, "probabilities", "model.onnx");
// adds an RVec<float> with one probability per class. It finds the branches by their names.
// In Python: ROOT.gInterpreter.AddIncludePath(<ONNX Runtime's headers>), ROOT.gSystem.Load(<libonnxruntime.so>), then
// ROOT.gInterpreter.Declare('#include "rdataframe.h"'). In C++, also declare it to the interpreter, because the types of the
// columns are known only at run time.
#pragma once

#include <deque>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <ROOT/RDataFrame.hxx>
#include <ROOT/RVec.hxx>
#include <TInterpreter.h>

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

  // One element of a list, as for the input `x[0]`; NaN if there is none.
  template <typename T>
  std::vector<float> element(const T& column, size_t index) {
    if constexpr (std::is_arithmetic_v<T>)
      throw std::runtime_error("the model takes an element of a column that has one number");
    else
      return {index < column.size() ? static_cast<float>(column[index]) : std::numeric_limits<float>::quiet_NaN()};
  }

  // `columns`: in the order of the model's inputs.
  inline ROOT::VecOps::RVec<float> evaluate_columns(size_t model, const std::vector<std::vector<float>>& columns) {
    Branches example;
    for (size_t i = 0; i < columns.size(); ++i)
      example[loaded_models()[model].inputs()[i].branch] = columns[i];
    const auto probabilities = loaded_models()[model](example);
    return {probabilities.begin(), probabilities.end()};
  }

  struct Definition {
    ROOT::RDF::RNode frame;
    std::string column;
    std::vector<std::string> branches;
  };

  // All threads of the event loop share one session, which runs on one thread.
  inline ROOT::RDF::RNode define(ROOT::RDF::RNode frame, const std::string& column, const std::string& model_path) {
    const auto& model = loaded_models().emplace_back(model_path);
    const auto index = loaded_models().size() - 1;
    // A function of typed columns, because RDataFrame's expressions take only branches whose names are C++.
    Definition definition{frame, column, {}};
    std::string parameters, values;
    for (const auto& input : model.inputs()) {
      const std::string separator = definition.branches.empty() ? "" : ", ";
      const std::string name = "branch" + std::to_string(definition.branches.size());
      std::string source = input.branch, value = "cyclotrain::values(" + name + ")";
      const auto bracket = source.rfind('[');
      if (!frame.HasColumn(source) && bracket != std::string::npos) {
        const std::string index = source.substr(bracket + 1, source.size() - bracket - 2);
        value = "cyclotrain::element(" + name + ", " + index + ")";
        source = source.substr(0, bracket);
      }
      parameters += separator + "const " + frame.GetColumnType(source) + "& " + name;
      values += separator + value;
      definition.branches.push_back(source);
    }
    std::ostringstream code;
    code << "{ auto& definition = *reinterpret_cast<cyclotrain::Definition*>(" << &definition << ");"
         << " definition.frame = definition.frame.Define(definition.column, [](" << parameters << ") {"
         << " return cyclotrain::evaluate_columns(" << index << ", {" << values << "}); }, definition.branches); }";
    TInterpreter::EErrorCode error = TInterpreter::kNoError;
    gInterpreter->ProcessLine(code.str().c_str(), &error);
    if (error != TInterpreter::kNoError)
      throw std::runtime_error("column '" + column + "' cannot be defined; the interpreter's message is above");
    return definition.frame;
  }

}  // namespace cyclotrain
