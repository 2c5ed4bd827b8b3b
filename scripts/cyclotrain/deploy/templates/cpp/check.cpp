// Compares the model with the reference vectors: check MODEL REFERENCE. Exit code 1 if they differ.
#include <iostream>

#include "cyclotrain.h"
#include "reference.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: check MODEL REFERENCE\n";
    return 2;
  }
  const cyclotrain::Model model(argv[1]);
  const auto reference = cyclotrain::Reference::read(argv[2]);
  std::vector<std::vector<float>> answers;
  for (const auto& example : reference.examples)
    answers.push_back(model(example));
  const double one = cyclotrain::largest_difference(answers, reference.expected);
  const double all = cyclotrain::largest_difference(model.evaluate(reference.examples), reference.expected);
  std::cout << "ONNX Runtime " << Ort::GetVersionString() << ": " << answers.size() << " examples, largest difference " << one
            << " one by one, " << all << " in one batch\n";
  return one <= cyclotrain::tolerance && all <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
