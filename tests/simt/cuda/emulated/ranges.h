// ranges.h: the NVTX ranges of this process.
#ifndef QUERN_TESTS_SIMT_CUDA_RANGES_H
#define QUERN_TESTS_SIMT_CUDA_RANGES_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace simt {

struct Ranges {
    std::vector<std::string> open;
    std::map<std::string, int64_t> begun; // "step/forward": how often, by the ranges around it
    int64_t stray_ends = 0;
};

Ranges &ranges();

} // namespace simt

#endif
