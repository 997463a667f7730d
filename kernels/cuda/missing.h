/* missing.h: what stands in the table for the operations that the CUDA backend does not have:
 * functions that refuse the call by name and need no workspace. */
#ifndef QUERN_CUDA_MISSING_H
#define QUERN_CUDA_MISSING_H

#include "quern/ops.h"

static qn_status missing(const char *operation) {
    return qn_error(QN_CODE_UNSUPPORTED,
                    "%s: the CUDA backend does not have this operation; use \"cpu\"", operation);
}

#define MISSING(operation, args_type)                                                              \
    static qn_status missing_##operation(qn_stream *s, const args_type *args) {                    \
        (void)s, (void)args;                                                                       \
        return missing(#operation);                                                                \
    }
#define MISSING_WORKSPACE(operation, args_type)                                                    \
    static size_t missing_##operation##_workspace(qn_backend *b, const args_type *args) {          \
        (void)b, (void)args;                                                                       \
        return 0;                                                                                  \
    }

MISSING(embedding_forward, qn_embedding_args)
MISSING(embedding_backward, qn_embedding_args)
MISSING_WORKSPACE(embedding_backward, qn_embedding_args)

#undef MISSING
#undef MISSING_WORKSPACE

#endif
