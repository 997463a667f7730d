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

MISSING(gemm, qn_gemm_args)
MISSING_WORKSPACE(gemm, qn_gemm_args)
MISSING(rmsnorm_forward, qn_norm_args)
MISSING(rmsnorm_backward, qn_norm_args)
MISSING(layernorm_forward, qn_norm_args)
MISSING(layernorm_backward, qn_norm_args)
MISSING_WORKSPACE(norm_backward, qn_norm_args)
MISSING(rope, qn_rope_args)
MISSING(swiglu_forward, qn_swiglu_args)
MISSING(swiglu_backward, qn_swiglu_args)
MISSING(classifier, qn_classifier_args)
MISSING_WORKSPACE(classifier, qn_classifier_args)
MISSING(adamw, qn_adamw_args)

#undef MISSING
#undef MISSING_WORKSPACE

static qn_status missing_add(qn_stream *s, qn_tensor dst, qn_tensor a, qn_tensor b) {
    (void)s, (void)dst, (void)a, (void)b;
    return missing("add");
}

static qn_status missing_sum(qn_stream *s, qn_tensor x, float *out) {
    (void)s, (void)x, (void)out;
    return missing("sum");
}

static qn_status missing_sum_squares(qn_stream *s, qn_tensor x, float *out) {
    (void)s, (void)x, (void)out;
    return missing("sum_squares");
}

static qn_status missing_rope_table(qn_stream *s, qn_tensor table, double theta) {
    (void)s, (void)table, (void)theta;
    return missing("rope_table");
}

static qn_status missing_gelu(qn_stream *s, qn_tensor out, qn_tensor x) {
    (void)s, (void)out, (void)x;
    return missing("gelu");
}

#endif
