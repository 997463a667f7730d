// storage_bf16.cc: models in bf16 run on the CPU behind bf16 storage.
#include "harness/bf16_backend.h"
#include "harness/storage_backend.h"

qn_status harness::open_storage_backend(qn_backend **out) { return open_bf16_backend(2, out); }
