/* attention.h: is a call of attention what ops.h says? The same for every backend, but for the
 * dtype that it stores. Messages name the argument, what was found and what was expected. */
#ifndef QUERN_CHECK_ATTENTION_H
#define QUERN_CHECK_ATTENTION_H

#include "quern/ops.h"

/* What a backend takes. */
typedef struct qn_attention_terms {
    qn_dtype storage;
    const char *where; /* in messages: "on the CPU" */
} qn_attention_terms;

/* Shapes, dtypes and options of q, k, v and doc_start: all that a workspace depends on. */
qn_status qn_check_attention_shapes(const qn_attention_args *, const qn_attention_terms *);

/* Everything but the values of doc_start and the workspace. */
qn_status qn_check_attention_forward(const qn_attention_args *, const qn_attention_terms *);
qn_status qn_check_attention_backward(const qn_attention_args *, const qn_attention_terms *);

/* Each position begins a document or goes on with the one before it; for a backend whose memory
 * the host can read. */
qn_status qn_check_attention_documents(const qn_tensor *doc_start);

/* `bytes` as the backend computed them, SIZE_MAX for more than can exist. */
qn_status qn_check_attention_workspace(const void *workspace, size_t bytes);

#endif
