/* norm_forward.cu: RMSNorm and LayerNorm of rows, and the residual sum before them. */
#include "norm_row.h"

/* ---- a row in registers ------------------------------------------------------------ */

template <typename S> struct held_row { packed8 x[S::VECTORS]; };

template <typename S> QN_DEVICE held_row<S> load_row(const bf16 *row, int64_t cols, bool wide) {
    held_row<S> held;
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++) {
        const int64_t begin = norm_begin<S>(v);
        if (begin < cols) held.x[v] = load_packed(row, begin, cols, wide);
    }
    return held;
}

/* f(begin, x) for each of the thread's vectors: those held, then the rest of a longer row, which
 * is read from `row`. */
template <typename S, typename F>
QN_DEVICE void each_vector(const held_row<S> &held, const bf16 *row, int64_t cols, bool wide, F f) {
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++) {
        const int64_t begin = norm_begin<S>(v);
        if (begin < cols) f(begin, unpack8(held.x[v]));
    }
    for (int64_t begin = norm_begin<S>(S::VECTORS); S::OPEN_ENDED && begin < cols; begin += S::STEP)
        f(begin, load_part(row, begin, cols, wide));
}

/* ---- its passes ----------------------------------------------------------------------- */

/* Writes sum = x + residual and holds it, rounded, in place of x. All that is held has been read
 * before the first element is written. */
template <typename S>
QN_DEVICE void add_residual(held_row<S> &held, const bf16 *x, const bf16 *residual, bf16 *sum,
                            int64_t cols, bool wide) {
    const held_row<S> other = load_row<S>(residual, cols, wide);
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++) {
        const int64_t begin = norm_begin<S>(v);
        if (begin >= cols) continue;
        held.x[v] = pack8(add8(unpack8(held.x[v]), unpack8(other.x[v])));
        store_part(sum, begin, cols, wide, unpack8(held.x[v]));
    }
    for (int64_t begin = norm_begin<S>(S::VECTORS); S::OPEN_ENDED && begin < cols; begin += S::STEP)
        store_part(sum, begin, cols, wide,
                   add8(load_part(x, begin, cols, wide), load_part(residual, begin, cols, wide)));
}

/* The thread's share of Σ x. Elements past the row are 0. */
template <typename S>
QN_DEVICE float share_of_sum(const held_row<S> &held, const bf16 *row, int64_t cols, bool wide) {
    float sum = 0;
    each_vector(held, row, cols, wide, [&](int64_t, const vector8 &x) {
#pragma unroll
        for (int i = 0; i < VECTOR; i++) sum += x.x[i];
    });
    return sum;
}

/* The thread's share of Σ (x − mean)². */
template <typename S>
QN_DEVICE float share_of_squares(const held_row<S> &held, const bf16 *row, int64_t cols, bool wide,
                                 float mean) {
    float sum = 0;
    each_vector(held, row, cols, wide, [&](int64_t begin, const vector8 &x) {
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (begin + i < cols) sum += (x.x[i] - mean) * (x.x[i] - mean);
    });
    return sum;
}

/* out = (x − mean)·rstd ∘ weight (+ bias). */
template <typename S, bool CENTRED>
QN_DEVICE void write_normal(const held_row<S> &held, const bf16 *row, bf16 *out,
                            const qn_norm_params &p, int64_t cols, float mean, float rstd) {
    each_vector(held, row, cols, p.wide, [&](int64_t begin, const vector8 &x) {
        const vector8 weight = load_part((const bf16 *)p.weight, begin, cols, p.wide);
        vector8 y = {};
        if (CENTRED) y = load_part((const bf16 *)p.bias, begin, cols, p.wide);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) y.x[i] += (x.x[i] - mean) * rstd * weight.x[i];
        store_part(out, begin, cols, p.wide, y);
    });
}

/* ---- the kernel ------------------------------------------------------------------------- */

/* One block: S::ROWS rows at a time, and rows a grid further on when these are done; threads as
 * norm_shape has them. Registers hold the row as it is stored, shared memory the sums of the warps
 * where a row has several. Bytes an element: 2 in, 2 out; with a residual 4 in, 4 out; weight and
 * bias come from the caches. 4 operations an element, LayerNorm 7. */
template <typename S, bool CENTRED>
__global__ void __launch_bounds__(S::THREADS, (CENTRED ? 512 : 768) / S::THREADS)
    norm_forward_kernel(const __grid_constant__ qn_norm_params p) {
    QN_SHARED(float, parts, [S::WARPS]);
    for (int64_t first = (int64_t)blockIdx.x * S::ROWS; first < p.n_rows;
         first += (int64_t)gridDim.x * S::ROWS) {
        const norm_place at = place_norm<S>(p, first);
        const bf16 *row = norm_row_at(p.x, at);
        held_row<S> held = load_row<S>(row, at.cols, p.wide);
        if (p.residual.data) {
            bf16 *sum = norm_row_at(p.sum, at);
            add_residual(held, row, norm_row_at(p.residual, at), sum, at.cols, p.wide);
            row = sum;
        }
        float mean = 0;
        if (CENTRED)
            mean = norm_row_sum<S>(share_of_sum(held, row, at.cols, p.wide), parts) / (float)p.cols;
        const float squares =
            norm_row_sum<S>(share_of_squares(held, row, at.cols, p.wide, mean), parts);
        const float rstd = 1.0f / sqrtf(squares / (float)p.cols + p.eps);
        write_normal<S, CENTRED>(held, row, norm_row_at(p.out, at), p, at.cols, mean, rstd);
        if (at.cols == 0 || threadIdx.x % S::LANES != 0) continue;
        *norm_stat_at(p.rstd, at) = rstd;
        if (CENTRED) *norm_stat_at(p.mean, at) = mean;
    }
}

template <typename S, bool CENTRED>
static int launch(const qn_norm_params &p, const qn_cuda_queue *queue) {
    const unsigned blocks = qn_cuda_blocks(queue, p.n_rows, S::ROWS, 2048 / S::THREADS);
    QN_LAUNCH((norm_forward_kernel<S, CENTRED>), dim3(blocks), dim3(S::THREADS), 0, queue->stream,
              p);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_norm_forward(const qn_norm_params *p, const qn_cuda_queue *queue) {
    return with_norm_shape(p->cols, [=](auto shape) {
        return p->centred ? launch<decltype(shape), true>(*p, queue)
                          : launch<decltype(shape), false>(*p, queue);
    });
}
