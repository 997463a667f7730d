#include "check/no_trace.h"

qn_status qn_no_trace_open(qn_backend *backend, qn_trace **out) {
    (void)backend;
    *out = NULL;
    return qn_error(QN_CODE_UNSUPPORTED, "this backend has no kernels to trace: a GPU's has");
}
