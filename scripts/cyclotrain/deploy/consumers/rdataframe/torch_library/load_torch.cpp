// The part of rdataframe_torch.h that needs LibTorch's headers.
#include "cyclotrain_torch.h"

namespace cyclotrain {
  std::unique_ptr<const ModelBase> load_torch(const std::string& model_path, size_t runners) {
    at::set_num_threads(1);  // the event loop has the threads
    return std::make_unique<TorchModel>(model_path, runners);
  }
}  // namespace cyclotrain
