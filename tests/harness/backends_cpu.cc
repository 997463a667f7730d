// backends_cpu.cc: the backends that every build has: the CPU, which stores fp32, and the same
// behind bf16 storage.
#include "harness/backend.h"
#include "harness/bf16_backend.h"

std::vector<harness::BackendUnderTest> harness::backends_under_test() {
    return {{"cpu", qn_cpu_open, {1, 3, 2}, true}, {"bf16", open_bf16_backend, {2}, true}};
}
