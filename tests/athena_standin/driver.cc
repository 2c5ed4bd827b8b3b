// Runs the tool of a bundle on the reference vectors: driver MODEL REFERENCE. HEADER and TOOL are given to the compiler.
// Then calls it without a branch, and with a wrong number of values, which must fail.
#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>

#include <onnxruntime_cxx_api.h>

#include HEADER
#include "reference.h"

namespace {
  // As AthOnnx::OnnxRuntimeInferenceTool does (AthOnnxComps/src/OnnxRuntimeInferenceTool.cxx): the values of the maps, in the
  // order of the maps, are bound to the names of the graph, in the order of the graph. Names of the maps have no effect.
  class OnnxRuntimeInferenceTool : public asg::AsgTool, virtual public AthInfer::IAthInferenceTool {
  public:
    explicit OnnxRuntimeInferenceTool(const std::string& path)
        : asg::AsgTool("OnnxRuntimeInferenceTool"), session_(environment_, path.c_str(), Ort::SessionOptions{}) {}

    StatusCode inference(AthInfer::InputDataMap& inputs, AthInfer::OutputDataMap& outputs) const override {
      Ort::AllocatorWithDefaultOptions allocator;
      Ort::IoBinding binding(session_);
      size_t position = 0;
      for (auto& [name, data] : inputs)
        binding.BindInput(session_.GetInputNameAllocated(position++, allocator).get(), tensor(data));
      position = 0;
      for (auto& [name, data] : outputs) {
        const auto size = std::accumulate(data.first.begin(), data.first.end(), int64_t{1}, std::multiplies<>());
        std::get<std::vector<float>>(data.second).resize(size);
        binding.BindOutput(session_.GetOutputNameAllocated(position++, allocator).get(), tensor(data));
      }
      session_.Run(Ort::RunOptions{nullptr}, binding);
      return StatusCode::SUCCESS;
    }

  private:
    Ort::Value tensor(AthInfer::InferenceData& data) const {
      auto& values = std::get<std::vector<float>>(data.second);
      return Ort::Value::CreateTensor<float>(memory_, values.data(), values.size(), data.first.data(), data.first.size());
    }

    Ort::Env environment_;
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    mutable Ort::Session session_;
  };
}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3)
    return 2;
  const OnnxRuntimeInferenceTool inference(argv[1]);
  ToolHandle<AthInfer::IAthInferenceTool>::registered() = &inference;
  TOOL tool("tool");
  if (!tool.initialize().isSuccess())
    return 2;
  const auto reference = cyclotrain::Reference::read(argv[2]);
  std::vector<std::vector<float>> answers, answer;
  for (const auto& example : reference.examples) {
    if (!tool.evaluate({example}, answer).isSuccess())
      return 2;
    answers.push_back(answer.front());
  }
  const double one = cyclotrain::largest_difference(answers, reference);
  if (!tool.evaluate(reference.examples, answers).isSuccess())
    return 2;
  const double all = cyclotrain::largest_difference(answers, reference);
  std::cout << reference.examples.size() << " examples, largest difference " << one << " one by one, " << all << " in one batch\n";
  if (!tool.evaluate({}, answers).isSuccess() || !answers.empty())
    return 2;
  for (const auto& input : TOOL::inputs()) {
    auto wrong = reference.examples.back();
    wrong.at(input.branch).push_back(1.f);
    const bool alone = !input.set.empty() && std::count_if(TOOL::inputs().begin(), TOOL::inputs().end(),
                                                           [&input](const auto& other) { return other.set == input.set; }) == 1;
    if (tool.evaluate({wrong}, answers).isSuccess() != alone)
      return 2;
    wrong.erase(input.branch);
    if (tool.evaluate({wrong}, answers).isSuccess())
      return 2;
  }
  return one <= cyclotrain::tolerance && all <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 3;
}
