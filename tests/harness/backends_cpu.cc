// backends_cpu.cc: the backends that every build has: the CPU, which stores fp32, and the same
// behind bf16 storage.
#include "harness/backend.h"
#include "harness/bf16_backend.h"

std::vector<harness::BackendUnderTest> harness::backends_under_test() {
    BackendUnderTest cpu = {"cpu", qn_cpu_open, {1, 3, 2}, true};
    BackendUnderTest bf16 = {"bf16", open_bf16_backend, {2}, true};
    bf16.repeats = 20; // the CPU's, with every tensor copied
    return {cpu, bf16};
}
