/* range.c: ranges for the timeline of Nsight Systems, and for the open trace. NVTX does nothing
 * without a profiler. */
#include <nvtx3/nvToolsExt.h>

#include "backend.h"
#include "trace/trace.h"

void qn_cuda_range_begin(qn_backend *backend, const char *name) {
    nvtxRangePushA(name);
    qn_cuda_trace_push(((const qn_cuda *)backend)->trace, name);
}

void qn_cuda_range_end(qn_backend *backend) {
    qn_cuda_trace_pop(((const qn_cuda *)backend)->trace);
    nvtxRangePop();
}
