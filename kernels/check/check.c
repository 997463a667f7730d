/* check.c: the argument checks that all operations share. */
#include "check/check.h"

#include <limits.h>
#include <stdio.h>

typedef struct shape_text {
    char text[96];
} shape_text;

/* "(3,4)"; "*" for any length. */
static shape_text show_shape(int rank, const int64_t *shape) {
    shape_text s;
    size_t at = 0, size = sizeof s.text;
    at += (size_t)snprintf(s.text, size, "(");
    for (int i = 0; i < rank && i < QN_MAX_RANK; i++) {
        const char *comma = i ? "," : "";
        if (shape[i] == QN_ANY)
            at += (size_t)snprintf(s.text + at, size - at, "%s*", comma);
        else
            at += (size_t)snprintf(s.text + at, size - at, "%s%lld", comma, (long long)shape[i]);
    }
    snprintf(s.text + at, size - at, ")");
    return s;
}

const char *qn_show_dtype(qn_dtype dtype) {
    return (unsigned)dtype <= QN_U16 ? qn_dtype_name(dtype) : "unknown";
}

qn_status qn_check_extent(const char *op, const char *name, const qn_tensor *t) {
    if (t->rank < 0 || t->rank > QN_MAX_RANK)
        return qn_error(QN_CODE_INVALID, "%s: %s has rank %d, expected 0 to %d", op, name, t->rank,
                        QN_MAX_RANK);
    int64_t bytes = (int64_t)qn_dtype_size(t->dtype);
    bool overflow = false, empty = false;
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0)
            return qn_error(QN_CODE_INVALID, "%s: %s is %s: lengths must not be negative", op, name,
                            show_shape(t->rank, t->shape).text);
        empty |= t->shape[i] == 0;
        overflow |= __builtin_mul_overflow(bytes, t->shape[i] ? t->shape[i] : 1, &bytes);
    }
    if (overflow)
        return qn_error(QN_CODE_INVALID, "%s: %s is %s of %s, more bytes than memory has addresses",
                        op, name, show_shape(t->rank, t->shape).text, qn_show_dtype(t->dtype));
    if (!t->data && !empty)
        return qn_error(QN_CODE_INVALID, "%s: %s %s has no data", op, name,
                        show_shape(t->rank, t->shape).text);
    return QN_OK;
}

qn_status qn_check_shape(const char *op, const char *name, const qn_tensor *t, int rank,
                         const int64_t *shape) {
    bool fits = t->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = shape[i] == QN_ANY || shape[i] == t->shape[i];
    if (!fits)
        return qn_error(QN_CODE_INVALID, "%s: %s is %s, expected %s", op, name,
                        show_shape(t->rank, t->shape).text, show_shape(rank, shape).text);
    return QN_OK;
}

qn_status qn_check_tensor(const char *op, const char *name, const qn_tensor *t, qn_dtype dtype,
                          int rank, const int64_t *shape) {
    if (t->rank == 0 && !t->data)
        return qn_error(QN_CODE_INVALID, "%s: %s is missing, expected %s of %s", op, name,
                        show_shape(rank, shape).text, qn_show_dtype(dtype));
    if (t->dtype != dtype)
        return qn_error(QN_CODE_INVALID, "%s: %s is %s, expected %s", op, name,
                        qn_show_dtype(t->dtype), qn_show_dtype(dtype));
    QN_TRY(qn_check_shape(op, name, t, rank, shape));
    QN_TRY(qn_check_extent(op, name, t));
    if (rank > 0 && t->shape[rank - 1] > 1 && t->stride[rank - 1] != 1)
        return qn_error(QN_CODE_INVALID, "%s: %s has stride %lld along its last axis, expected 1",
                        op, name, (long long)t->stride[rank - 1]);
    return QN_OK;
}

qn_status qn_check_1d(const char *op, const char *name, const qn_tensor *t, qn_dtype dtype,
                      int64_t n) {
    return qn_check_tensor(op, name, t, dtype, 1, &n);
}

qn_status qn_check_2d(const char *op, const char *name, const qn_tensor *t, qn_dtype dtype,
                      int64_t rows, int64_t cols) {
    const int64_t shape[] = {rows, cols};
    return qn_check_tensor(op, name, t, dtype, 2, shape);
}

qn_status qn_check_3d(const char *op, const char *name, const qn_tensor *t, qn_dtype dtype,
                      int64_t a, int64_t b, int64_t c) {
    const int64_t shape[] = {a, b, c};
    return qn_check_tensor(op, name, t, dtype, 3, shape);
}

qn_status qn_check_matrix(const char *op, const char *name, const qn_tensor *t, qn_dtype dtype,
                          int64_t rows, int64_t cols) {
    QN_TRY(qn_check_2d(op, name, t, dtype, rows, cols));
    int64_t stride = t->shape[0] > 1 ? t->stride[0] : t->shape[1];
    if (stride < t->shape[1])
        return qn_error(QN_CODE_INVALID, "%s: %s has row stride %lld, expected at least %lld", op,
                        name, (long long)stride, (long long)t->shape[1]);
    if (stride > INT_MAX || t->shape[0] > INT_MAX)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s: %s has %lld rows of stride %lld; this backend has at most %d", op,
                        name, (long long)t->shape[0], (long long)stride, INT_MAX);
    return QN_OK;
}

qn_status qn_check_cast(const qn_tensor *dst, const qn_tensor *src) {
    if ((src->dtype != QN_F32 && src->dtype != QN_BF16) ||
        (dst->dtype != QN_F32 && dst->dtype != QN_BF16))
        return qn_error(QN_CODE_UNSUPPORTED, "cast: from %s to %s; this backend has fp32 and bf16",
                        qn_show_dtype(src->dtype), qn_show_dtype(dst->dtype));
    QN_TRY(qn_check_extent("cast", "src", src));
    QN_TRY(qn_check_extent("cast", "dst", dst));
    return qn_check_shape("cast", "dst", dst, src->rank, src->shape);
}

qn_status qn_check_workspace(const char *op, const void *memory, size_t bytes) {
    if (bytes == 0) return QN_OK;
    if (bytes == SIZE_MAX)
        return qn_error(QN_CODE_INVALID, "%s: workspace would need more memory than can exist", op);
    if (!memory)
        return qn_error(QN_CODE_INVALID, "%s: workspace is missing, expected %zu bytes", op, bytes);
    if ((uintptr_t)memory % QN_WORKSPACE_ALIGN)
        return qn_error(QN_CODE_INVALID, "%s: workspace is not aligned to %d bytes", op,
                        QN_WORKSPACE_ALIGN);
    return QN_OK;
}

qn_status qn_check_indices(const char *op, const char *what, const int32_t *values, int64_t n,
                           int64_t low, int64_t high) {
    for (int64_t i = 0; i < n; i++)
        if (values[i] < low || values[i] >= high)
            return qn_error(QN_CODE_INVALID, "%s: %s %d at %lld is outside [%lld, %lld)", op, what,
                            values[i], (long long)i, (long long)low, (long long)high);
    return QN_OK;
}
