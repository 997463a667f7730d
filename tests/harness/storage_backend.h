// storage_backend.h: the backend that stores bf16 on which tests of models run. What is linked
// decides: storage_bf16.cc, or storage_cuda.cc.
#ifndef QUERN_TESTS_STORAGE_BACKEND_H
#define QUERN_TESTS_STORAGE_BACKEND_H

#include "quern/backend.h"

namespace harness {

qn_status open_storage_backend(qn_backend **out);

} // namespace harness

#endif
