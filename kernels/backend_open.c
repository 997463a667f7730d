/* backend_open.c: the backends of this build by name. */
#include <string.h>

#include "quern/backend.h"

#ifdef QN_HAS_CUDA
#define NAMES "\"cpu\", \"cuda\" and \"auto\""
const char *const qn_backend_names[] = {"cpu", "cuda", NULL};
static qn_status open_cuda(qn_backend **out) { return qn_cuda_open(out); }
static bool has_gpu(void) { return qn_cuda_has_gpu(); }
#else
#define NAMES "\"cpu\" and \"auto\""
const char *const qn_backend_names[] = {"cpu", NULL};
static qn_status open_cuda(qn_backend **out) {
    *out = NULL;
    return qn_error(QN_CODE_USAGE, "device \"cuda\": this build has no CUDA backend; use \"cpu\" "
                                   "or \"auto\"");
}
static bool has_gpu(void) { return false; }
#endif

static qn_status open_auto(int n_threads, qn_backend **out, char **note) {
    if (has_gpu()) {
        qn_status status = open_cuda(out);
        if (!status) return QN_OK;
        *note = strdup(qn_message(status));
        qn_status_free(status);
    }
    return qn_cpu_open(n_threads, out);
}

qn_status qn_backend_open(const char *name, int n_threads, qn_backend **out, char **note) {
    *out = NULL;
    *note = NULL;
    if (strcmp(name, "cpu") == 0) return qn_cpu_open(n_threads, out);
    if (strcmp(name, "cuda") == 0) return open_cuda(out);
    if (strcmp(name, "auto") == 0) return open_auto(n_threads, out, note);
    return qn_error(QN_CODE_USAGE, "device \"%s\" is unknown; this build has " NAMES, name);
}
