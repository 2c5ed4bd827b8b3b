// Asks cyclotrain::TorchModel what a careless user asks: driver REFERENCE MODEL OLD FILE..., and prints a line for each answer.
// OLD is a package that a processor without the instructions of AVX2 is asked to load; each FILE is wrong in some way.
#include <algorithm>
#include <iostream>
#include <thread>

namespace {
  bool old_processor = false;
}
// the real one needs its argument as a literal
#define __builtin_cpu_supports(instructions) (!old_processor || std::string(instructions) != "avx2")

#include "cyclotrain_torch.h"
#include "reference.h"

namespace {
  using Tensors = cyclotrain::TorchModel::Tensors;

  template <typename Request>
  void expect_error(const std::string& what, Request&& request) {
    try {
      request();
      std::cout << what << ": no error\n";
    } catch (const std::exception& error) {
      std::cout << what << ": " << error.what() << "\n";
    }
  }

  Tensors tensors(const cyclotrain::ModelBase& model, const std::map<std::string, std::vector<float>>& example) {
    Tensors result;
    for (const auto& [branch, set] : model.inputs()) {
      auto values = example.at(branch);
      if (values.empty())
        values.push_back(0.f);
      result[branch] = torch::tensor(values).unsqueeze(0);
    }
    return result;
  }

  // The largest difference over all examples, asked by four threads at once.
  double with_threads(const cyclotrain::TorchModel& model, const cyclotrain::Reference& reference) {
    std::vector<std::thread> threads;
    std::vector<double> largest(4);
    for (size_t i = 0; i < largest.size(); ++i)
      threads.emplace_back([&, i] {
        std::vector<std::vector<float>> answers;
        for (const auto& example : reference.examples)
          answers.push_back(model(example));
        largest[i] = cyclotrain::largest_difference(answers, reference);
      });
    for (auto& thread : threads)
      thread.join();
    return *std::max_element(largest.begin(), largest.end());
  }
}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  const auto reference = cyclotrain::Reference::read(argv[1]);
  const cyclotrain::TorchModel model(argv[2], 4);
  std::cout << "threads: " << with_threads(model, reference) << "\n";

  const auto& example = reference.examples.back();
  const auto right = tensors(model, example);
  const auto answer = model.evaluate_tensors(right).at(model.outputs().front().name);
  std::cout << "tensors: " << (answer - torch::tensor(reference.expected.back())).abs().max().item<float>() << "\n";

  const auto ask = [&](const std::string& what, const std::string& branch, const torch::Tensor& tensor) {
    auto wrong = right;
    wrong.at(branch) = tensor;
    expect_error(what, [&] { model.evaluate_tensors(wrong); });
  };
  const auto pf = right.at("pf_pt");
  ask("type", "pf_pt", pf.to(torch::kFloat64));
  ask("length", "pf_pt", torch::cat({pf, pf}, 1));
  ask("scalar", "jet_pt", torch::ones({1, 2}));
  ask("batch", "pf_pt", torch::cat({pf, pf}, 0));
  ask("axes", "pf_pt", pf.unsqueeze(0));
  ask("stride", "pf_pt", torch::ones({1, 2 * pf.size(1)}).slice(1, 0, 2 * pf.size(1), 2));
  ask("no slots", "pf_pt", torch::ones({1, 0}));
  ask("no examples", "jet_pt", torch::ones({0, 1}));
  ask("device", "pf_pt", torch::ones({1, 2}, torch::kMeta));
  ask("undefined", "pf_pt", torch::Tensor());
  ask("sparse", "pf_pt", pf.to_sparse());
  auto renamed = right;
  renamed["pf_energy"] = renamed.at("pf_pt");
  renamed.erase("pf_pt");
  expect_error("name", [&] { model.evaluate_tensors(renamed); });
  auto short_one = example;
  short_one.at("pf_eta").push_back(1.f);
  expect_error("vectors", [&] { model(short_one); });

  old_processor = true;
  expect_error("old processor", [&] { cyclotrain::TorchModel{argv[3]}; });
  old_processor = false;
  for (int i = 4; i < argc; ++i)
    expect_error("file", [&] { cyclotrain::TorchModel{argv[i]}; });
}
