// Runs the class of a bundle on the reference vectors: driver MODEL REFERENCE. HEADER and MODEL are given to the compiler.
// Then calls it without a branch, and with a wrong number of constituents, which must throw.
#include <iostream>

#include HEADER
#include "reference.h"

int main(int argc, char** argv) try {
  if (argc != 3)
    return 2;
  MODEL model(argv[1]);
  const auto reference = cyclotrain::Reference::read(argv[2]);
  std::vector<std::vector<float>> answers;
  for (const auto& example : reference.examples)
    answers.push_back(model(example));
  const double one = cyclotrain::largest_difference(answers, reference);
  const double all = cyclotrain::largest_difference(model.evaluate(reference.examples), reference);
  std::cout << answers.size() << " examples, largest difference " << one << " one by one, " << all << " in one batch\n";
  if (!model.evaluate({}).empty())
    return 2;
  for (const auto& [branch, set] : MODEL::inputs()) {
    auto wrong = reference.examples.back();
    wrong.at(branch).push_back(1.f);
    const bool alone = !set.empty() && std::count_if(MODEL::inputs().begin(), MODEL::inputs().end(),
                                                     [&set](const auto& input) { return input.set == set; }) == 1;
    try {
      model(wrong);
      if (!alone)
        return 2;
    } catch (const std::invalid_argument& error) {
      std::cout << error.what() << "\n";
    }
    wrong.erase(branch);
    try {
      model(wrong);
      return 2;
    } catch (const std::invalid_argument& error) {
      std::cout << error.what() << "\n";
    }
  }
  return one <= cyclotrain::tolerance && all <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
