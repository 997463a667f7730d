// ranges.cc: NVTX, remembering what a profiler would be told.
#include "simt/cuda/emulated/ranges.h"

#include <nvtx3/nvToolsExt.h>

simt::Ranges &simt::ranges() {
    static Ranges the_ranges;
    return the_ranges;
}

int nvtxRangePushA(const char *name) {
    simt::Ranges &r = simt::ranges();
    r.open.push_back(r.open.empty() ? name : r.open.back() + "/" + name);
    r.begun[r.open.back()]++;
    return (int)r.open.size() - 1;
}

int nvtxRangePop() {
    simt::Ranges &r = simt::ranges();
    if (r.open.empty()) {
        r.stray_ends++;
        return -1;
    }
    r.open.pop_back();
    return (int)r.open.size();
}
