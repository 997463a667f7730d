/* elementwise.c: copies, conversions and additions; all run at the speed of memory. */
#include <string.h>

#include "check/check.h"
#include "check/elementwise.h"
#include "check/view.h"
#include "cpu.h"
#include "quern/rounding.h"
#include "rows.h"

/* ---- bytes ---------------------------------------------------------------- */

enum { COPY_BLOCK = 1 << 18 }; /* bytes that one thread moves at a time */

qn_status qn_cpu_copy(qn_stream *stream, void *dst, const void *src, size_t bytes,
                      qn_copy_kind kind) {
    if ((unsigned)kind > QN_COPY_ON_DEVICE)
        return qn_error(QN_CODE_INVALID, "copy: kind %d is none of the three", (int)kind);
    if (bytes == 0) return QN_OK;
    if (!dst || !src)
        return qn_error(QN_CODE_INVALID, "copy: %s is NULL, expected %zu bytes",
                        dst ? "src" : "dst", bytes);
    int64_t blocks = (int64_t)((bytes + COPY_BLOCK - 1) / COPY_BLOCK);
#pragma omp parallel for num_threads(qn_cpu_threads(stream)) schedule(static) if (blocks > 1)
    for (int64_t b = 0; b < blocks; b++) {
        size_t from = (size_t)b * COPY_BLOCK, left = bytes - from;
        memcpy((char *)dst + from, (const char *)src + from, left < COPY_BLOCK ? left : COPY_BLOCK);
    }
    return QN_OK;
}

qn_status qn_cpu_zero(qn_stream *stream, void *dst, size_t bytes) {
    if (bytes == 0) return QN_OK;
    if (!dst) return qn_error(QN_CODE_INVALID, "zero: dst is NULL, expected %zu bytes", bytes);
    int64_t blocks = (int64_t)((bytes + COPY_BLOCK - 1) / COPY_BLOCK);
#pragma omp parallel for num_threads(qn_cpu_threads(stream)) schedule(static) if (blocks > 1)
    for (int64_t b = 0; b < blocks; b++) {
        size_t from = (size_t)b * COPY_BLOCK, left = bytes - from;
        memset((char *)dst + from, 0, left < COPY_BLOCK ? left : COPY_BLOCK);
    }
    return QN_OK;
}

/* ---- conversion --------------------------------------------------------------- */

static void round_row(uint16_t *restrict dst, const float *restrict src, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = qn_bf16_of_float(src[i]);
}

static void widen_row(float *restrict dst, const uint16_t *restrict src, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = qn_float_of_bf16(src[i]);
}

/* One element of a row that is not dense, or a row of one dtype on both sides. */
static void cast_strided(char *dst, int64_t dst_stride, qn_dtype to, const char *src,
                         int64_t src_stride, qn_dtype from, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const char *in = src + i * src_stride * (int64_t)qn_dtype_size(from);
        char *out = dst + i * dst_stride * (int64_t)qn_dtype_size(to);
        if (to == from)
            memcpy(out, in, qn_dtype_size(to));
        else if (to == QN_BF16)
            round_row((uint16_t *)(void *)out, (const float *)(const void *)in, 1);
        else
            widen_row((float *)(void *)out, (const uint16_t *)(const void *)in, 1);
    }
}

static void cast_row(char *dst, int64_t dst_stride, qn_dtype to, const char *src,
                     int64_t src_stride, qn_dtype from, int64_t n) {
    if (dst_stride != 1 || src_stride != 1)
        cast_strided(dst, dst_stride, to, src, src_stride, from, n);
    else if (to == from)
        memcpy(dst, src, (size_t)n * qn_dtype_size(to));
    else if (to == QN_BF16)
        round_row((uint16_t *)(void *)dst, (const float *)(const void *)src, n);
    else
        widen_row((float *)(void *)dst, (const uint16_t *)(const void *)src, n);
}

/* A dense tensor as rows of this many elements, so that threads have shares of it. */
enum { CAST_BLOCK = 4096 };

static void cast_dense(int n_threads, const qn_tensor *dst, const qn_tensor *src) {
    int64_t n = qn_tensor_numel(src);
    size_t to = qn_dtype_size(dst->dtype), from = qn_dtype_size(src->dtype);
#pragma omp parallel for num_threads(n_threads) schedule(static) if (n > QN_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < n; i += CAST_BLOCK)
        cast_row((char *)dst->data + (size_t)i * to, 1, dst->dtype,
                 (const char *)src->data + (size_t)i * from, 1, src->dtype,
                 qn_min_i64(CAST_BLOCK, n - i));
}

static void cast_view(int n_threads, const qn_tensor *dst, const qn_tensor *src) {
    qn_tensor d = qn_tensor_rank4(dst), s = qn_tensor_rank4(src);
    int64_t rows = s.shape[0] * s.shape[1] * s.shape[2], cols = s.shape[3];
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t row = 0; row < rows; row++) {
        int64_t i2 = row % s.shape[2], rest = row / s.shape[2];
        int64_t i1 = rest % s.shape[1], i0 = rest / s.shape[1];
        int64_t to = i0 * d.stride[0] + i1 * d.stride[1] + i2 * d.stride[2];
        int64_t from = i0 * s.stride[0] + i1 * s.stride[1] + i2 * s.stride[2];
        cast_row((char *)d.data + to * (int64_t)qn_dtype_size(d.dtype), d.stride[3], d.dtype,
                 (const char *)s.data + from * (int64_t)qn_dtype_size(s.dtype), s.stride[3],
                 s.dtype, cols);
    }
}

qn_status qn_cpu_cast(qn_stream *stream, qn_tensor dst, qn_tensor src) {
    QN_TRY(qn_check_cast(&dst, &src));
    if (qn_tensor_numel(&src) == 0) return QN_OK;
    if (qn_tensor_is_dense(&dst) && qn_tensor_is_dense(&src))
        cast_dense(qn_cpu_threads(stream), &dst, &src);
    else
        cast_view(qn_cpu_threads(stream), &dst, &src);
    return QN_OK;
}

static void round_group(uint16_t *restrict dst, const float *restrict src, int64_t n,
                        qn_philox numbers) {
    for (int64_t i = 0; i < n; i++)
        dst[i] = qn_bf16_stochastic(src[i], qn_rounding_number(&numbers, (int)i));
}

qn_status qn_cpu_cast_stochastic(qn_stream *stream, qn_tensor dst, qn_tensor src, uint64_t seed,
                                 int64_t step) {
    QN_TRY(qn_check_cast_stochastic(&dst, &src, step));
    const int64_t n = qn_tensor_numel(&src);
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (n > QN_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < n; i += QN_ROUNDING_GROUP)
        round_group((uint16_t *)dst.data + i, (const float *)src.data + i,
                    qn_min_i64(QN_ROUNDING_GROUP, n - i),
                    qn_rounding_group(seed, step, i / QN_ROUNDING_GROUP));
    return QN_OK;
}

/* ---- addition ------------------------------------------------------------------ */

/* 12 bytes an element. dst may be a or b, so no pointer is restrict. */
qn_status qn_cpu_add(qn_stream *stream, qn_tensor dst, qn_tensor a, qn_tensor b) {
    QN_TRY(qn_check_add(&dst, &a, &b, QN_F32));
    int64_t rows = dst.shape[0], cols = dst.shape[1];
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++) {
        float *out = qn_row(&dst, n);
        const float *x = qn_row(&a, n), *y = qn_row(&b, n);
#pragma omp simd
        for (int64_t j = 0; j < cols; j++) out[j] = x[j] + y[j];
    }
    return QN_OK;
}
