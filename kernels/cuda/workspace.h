/* workspace.h: cuts a workspace into pieces. The same cuts, made without memory, give its size,
 * so that size and layout cannot disagree. */
#ifndef QUERN_CUDA_WORKSPACE_H
#define QUERN_CUDA_WORKSPACE_H

#include "check/check.h"
#include "check/size.h"

typedef struct qn_workspace {
    void *memory; /* NULL: only the size is asked for */
    size_t used;  /* bytes, SIZE_MAX for more than can exist */
} qn_workspace;

/* Aligned like the workspace; NULL where only the size is asked for. */
static inline void *qn_workspace_cut(qn_workspace *w, size_t bytes) {
    const size_t at = w->used;
    w->used = qn_size_add(at, qn_size_align(bytes, QN_WORKSPACE_ALIGN));
    return w->memory && w->used != SIZE_MAX ? (char *)w->memory + at : NULL;
}

#endif
