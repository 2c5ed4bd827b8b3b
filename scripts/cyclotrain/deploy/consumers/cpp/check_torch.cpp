// Compares a form of the model for LibTorch with the reference vectors: check_torch MODEL REFERENCE. Exit code 1 if they differ.
#include "cyclotrain_torch.h"
#include "reference.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: check_torch MODEL REFERENCE\n";
    return 2;
  }
  at::set_num_threads(1);
  return cyclotrain::compare(cyclotrain::TorchModel(argv[1]), argv[2], "LibTorch " TORCH_VERSION);
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
