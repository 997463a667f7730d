/* open_backend.h: the backend that a command asks for. */
#ifndef QUERN_CLI_OPEN_BACKEND_H
#define QUERN_CLI_OPEN_BACKEND_H

#include "quern/backend.h"

/* As qn_backend_open; why a GPU is passed over goes to stderr. */
qn_status qn_open_backend(const char *name, int64_t n_threads, qn_backend **out);

#endif
