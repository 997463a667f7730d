/* backend.h: opens a device. */
#ifndef QUERN_BACKEND_H
#define QUERN_BACKEND_H

#include "quern/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the CPU backend with n_threads OpenMP threads (0: one a core that this
 * process may use). Released by (*out)->ops->close(*out). */
qn_status qn_cpu_open(int n_threads, qn_backend **out);

/* Opens the first GPU that CUDA_VISIBLE_DEVICES leaves; in builds with the CUDA backend only.
 * QN_CODE_UNSUPPORTED where there is no GPU, no driver, or none that this build is for. */
qn_status qn_cuda_open(qn_backend **out);

/* Whether there is a driver that does not say that it sees no GPU. */
bool qn_cuda_has_gpu(void);

/* The backends of this build, "cpu" and perhaps "cuda"; ended by NULL. */
extern const char *const qn_backend_names[];

/* Opens the backend of that name: "cpu", "cuda", or "auto", which is a GPU that this build can use,
 * else the CPU. *note, malloc'ed, is why "auto" passes over a GPU that is there, else NULL. */
qn_status qn_backend_open(const char *name, int n_threads, qn_backend **out, char **note);

#ifdef __cplusplus
}
#endif
#endif
