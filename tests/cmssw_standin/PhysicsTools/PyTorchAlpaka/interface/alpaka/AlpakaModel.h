#include "alpaka_standin.h"
