#include "simt/sweep.h"

#include <cstdlib>

namespace simt {

Config schedule(int i) {
    Config c = config(), original = c;
    c.seed = (uint64_t)i;
    c.async = (AsyncMode)(i % 4);
    c.resident_blocks = 1 + i % 3;
    c.shared_skew = 16u * ((uint32_t)i * 7 % 64);
    c.preemption = i % 5 == 4 ? 0.02 : 0;
    if (getenv("QN_SIMT_SEED")) c.seed = original.seed;
    if (getenv("QN_SIMT_ASYNC")) c.async = original.async;
    if (getenv("QN_SIMT_RESIDENT")) c.resident_blocks = original.resident_blocks;
    if (getenv("QN_SIMT_SKEW")) c.shared_skew = original.shared_skew;
    if (getenv("QN_SIMT_PREEMPTION")) c.preemption = original.preemption;
    return c;
}

} // namespace simt
