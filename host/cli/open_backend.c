#include "cli/open_backend.h"

#include <stdio.h>
#include <stdlib.h>

qn_status qn_open_backend(const char *name, int64_t n_threads, qn_backend **out) {
    char *note;
    QN_TRY(qn_backend_open(name, (int)n_threads, out, &note));
    if (note) fprintf(stderr, "%s\n", note);
    free(note);
    return QN_OK;
}
