/* range.c: ranges for the timeline of Nsight Systems. NVTX does nothing without a profiler. */
#include <nvtx3/nvToolsExt.h>

#include "backend.h"

void qn_cuda_range_begin(qn_backend *backend, const char *name) {
    (void)backend;
    nvtxRangePushA(name);
}

void qn_cuda_range_end(qn_backend *backend) {
    (void)backend;
    nvtxRangePop();
}
