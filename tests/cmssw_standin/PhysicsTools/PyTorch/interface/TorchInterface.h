// The stand-in of the header through which CMSSW includes LibTorch.
#pragma once

#include <torch/script.h>
