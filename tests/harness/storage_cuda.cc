// storage_cuda.cc: models in bf16 run on the CUDA backend, on a GPU or emulated.
#include "harness/storage_backend.h"

qn_status harness::open_storage_backend(qn_backend **out) { return qn_cuda_open(out); }
