/* check.h: are the arguments of an operation what ops.h says? Each check returns
 * QN_CODE_INVALID with a message that names operation, argument, what was found and
 * what was expected. */
#ifndef QUERN_CHECK_CHECK_H
#define QUERN_CHECK_CHECK_H

#include "quern/status.h"
#include "quern/tensor.h"

enum { QN_ANY = -1 }; /* in an expected shape: any length */
enum { QN_WORKSPACE_ALIGN = 64 };

/* The name of a dtype, even of one that does not exist. */
const char *qn_show_dtype(qn_dtype dtype);

/* The tensor has this dtype and shape, data unless it is empty, unit stride along its
 * last axis and sizes whose bytes a size_t holds. */
qn_status qn_check_tensor(const char *op, const char *name, const qn_tensor *tensor, qn_dtype dtype,
                          int rank, const int64_t *shape);
qn_status qn_check_1d(const char *op, const char *name, const qn_tensor *tensor, qn_dtype dtype,
                      int64_t n);
qn_status qn_check_2d(const char *op, const char *name, const qn_tensor *tensor, qn_dtype dtype,
                      int64_t rows, int64_t cols);
qn_status qn_check_3d(const char *op, const char *name, const qn_tensor *tensor, qn_dtype dtype,
                      int64_t a, int64_t b, int64_t c);

/* A matrix that a product takes: rank 2, rows that do not overlap, and lengths that an int
 * holds, as BLAS has them (else QN_CODE_UNSUPPORTED). */
qn_status qn_check_matrix(const char *op, const char *name, const qn_tensor *tensor, qn_dtype dtype,
                          int64_t rows, int64_t cols);

qn_status qn_check_shape(const char *op, const char *name, const qn_tensor *tensor, int rank,
                         const int64_t *shape);

/* Lengths are not negative, bytes do not overflow, data is there unless empty. */
qn_status qn_check_extent(const char *op, const char *name, const qn_tensor *tensor);

/* The operands of a cast: fp32 or bf16 (else QN_CODE_UNSUPPORTED), of one shape. */
qn_status qn_check_cast(const qn_tensor *dst, const qn_tensor *src);

/* `memory` is there and aligned when `bytes` of it are needed, SIZE_MAX for more than can exist. */
qn_status qn_check_workspace(const char *op, const void *memory, size_t bytes);

/* Each of the n int32 values lies in [low, high). `what` names one, e.g. "token". */
qn_status qn_check_indices(const char *op, const char *what, const int32_t *values, int64_t n,
                           int64_t low, int64_t high);

#endif
