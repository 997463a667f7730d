// backends_cuda.cc: the CUDA backend, on a GPU or emulated.
#include "harness/backend.h"

#ifdef QN_TEST_EMULATED
static const bool emulated = true;
static const int repeats = 3;
#else
static const bool emulated = false;
static const int repeats = 1000;
#endif

static qn_status open_cuda(int, qn_backend **out) { return qn_cuda_open(out); }

std::vector<harness::BackendUnderTest> harness::backends_under_test() {
    return {{"cuda", open_cuda, {1}, false, 128, emulated, repeats}};
}
