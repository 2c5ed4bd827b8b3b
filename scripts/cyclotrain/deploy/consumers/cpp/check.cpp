// Compares the model with the reference vectors: check MODEL REFERENCE. Exit code 1 if they differ.
#include "cyclotrain.h"
#include "reference.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: check MODEL REFERENCE\n";
    return 2;
  }
  return cyclotrain::compare(cyclotrain::Model(argv[1]), argv[2], "ONNX Runtime " + Ort::GetVersionString());
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
