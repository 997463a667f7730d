/* trace.c: in place of the trace, in a build whose toolkit had no headers of CUPTI. */
#include "trace/trace.h"

#include "backend.h"

qn_status qn_cuda_trace_open(qn_backend *backend, qn_trace **out) {
    (void)backend;
    *out = NULL;
    return qn_error(QN_CODE_UNSUPPORTED,
                    "this build cannot trace kernels: its CUDA toolkit had no cupti.h; install "
                    "CUPTI of the toolkit and configure the build again");
}

void qn_cuda_trace_push(qn_trace *trace, const char *name) { (void)trace, (void)name; }
void qn_cuda_trace_pop(qn_trace *trace) { (void)trace; }
