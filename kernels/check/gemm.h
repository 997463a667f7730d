/* gemm.h: is a matrix product what ops.h says? The same for every backend, but for the dtype that
 * it stores. */
#ifndef QUERN_CHECK_GEMM_H
#define QUERN_CHECK_GEMM_H

#include "quern/ops.h"

/* Everything but the workspace. */
qn_status qn_check_gemm(const qn_gemm_args *, qn_dtype storage);

/* `op` is the operation that multiplies. A dtype that no backend computes in is
 * QN_CODE_UNSUPPORTED. */
qn_status qn_check_compute(const char *op, qn_dtype compute, qn_dtype storage);

#endif
