// batch_1 EXAMPLES MODEL...: the seconds that each model takes for all examples, one at a time on one thread; the shortest of some
// rounds in which the models take turns.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>
#include <memory>

#include "cyclotrain.h"
#include "cyclotrain_torch.h"
#include "reference.h"

int main(int argc, char** argv) {
  at::set_num_threads(1);
  const auto examples = cyclotrain::Reference::read(argv[1]).examples;
  std::vector<std::unique_ptr<const cyclotrain::ModelBase>> models;
  for (int i = 2; i < argc; ++i) {
    const std::string path = argv[i];
    if (path.substr(path.rfind('.')) == ".onnx")
      models.push_back(std::make_unique<cyclotrain::Model>(path));
    else
      models.push_back(std::make_unique<cyclotrain::TorchModel>(path));
  }
  std::vector<double> best(models.size(), std::numeric_limits<double>::infinity());
  for (int round = 0; round < 100; ++round)
    for (size_t i = 0; i < models.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      for (const auto& example : examples)
        (*models[i])(example);
      best[i] = std::min(best[i], std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  for (const double seconds : best)
    std::cout << seconds << "\n";
}
