/* backend_open.c: the backends of this build by name. */
#include <string.h>

#include "quern/backend.h"

#ifdef QN_HAS_CUDA
#define NAMES "\"cpu\", \"cuda\" and \"auto\""
static qn_status open_cuda(qn_backend **out) { return qn_cuda_open(out); }
#else
#define NAMES "\"cpu\" and \"auto\""
static qn_status open_cuda(qn_backend **out) {
    *out = NULL;
    return qn_error(QN_CODE_USAGE, "device \"cuda\": this build has no CUDA backend; use \"cpu\" "
                                   "or \"auto\"");
}
#endif

qn_status qn_backend_open(const char *name, int n_threads, qn_backend **out) {
    *out = NULL;
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) return qn_cpu_open(n_threads, out);
    if (strcmp(name, "cuda") == 0) return open_cuda(out);
    return qn_error(QN_CODE_USAGE, "device \"%s\" is unknown; this build has " NAMES, name);
}
