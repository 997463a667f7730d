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

/* Opens the backend of that name: "cpu", or "auto" for the best that this build
 * and machine have. */
qn_status qn_backend_open(const char *name, int n_threads, qn_backend **out);

#ifdef __cplusplus
}
#endif
#endif
