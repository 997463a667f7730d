/* naive_softmax.cu: what the naive path does between its matrix products, over scores that lie in
 * memory. Both kernels are bound by memory: each score is read from it once (a second time from
 * the cache), each result written once. */
#include "launch.h"
#include "online_softmax.h"
#include "vector.h"

enum { ROW_THREADS = 256, ROW_WARPS = ROW_THREADS / 32 };

/* ---- a block's row ----------------------------------------------------------------------- */

struct row_place {
    int64_t first; /* element of the row's first score */
    int32_t batch, head, row;
    position_span span;
};

QN_DEVICE row_place place_row(const qn_attn_params &p, int64_t index) {
    row_place place;
    place.first = index * p.n_keys;
    place.row = (int32_t)(index % p.n_queries);
    place.head = (int32_t)(index / p.n_queries % p.n_heads);
    place.batch = (int32_t)(index / p.n_queries / p.n_heads);
    place.span = keys_seen(p, place.batch, place.row);
    return place;
}

QN_DEVICE int64_t lse_of(const qn_attn_params &p, const row_place &place) {
    return place.batch * p.lse_batch + place.head * p.lse_head + place.row * p.lse_row;
}

/* m and l of scores seen so far; merging takes any order of parts that is fixed. */
struct running {
    float m, l;
};

QN_DEVICE running merge(running a, running b) {
    const float m = fmaxf(a.m, b.m);
    return {m, a.l * exp2_approx(a.m - m) + b.l * exp2_approx(b.m - m)};
}

QN_DEVICE running merge_warp(running x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        const running other = {__shfl_xor_sync(0xffffffffu, x.m, mask),
                               __shfl_xor_sync(0xffffffffu, x.l, mask)};
        x = merge(x, other);
    }
    return x;
}

/* ---- the kernels --------------------------------------------------------------------------- */

/* One block a row, eight elements a thread and step: m and l in one pass over the keys that the
 * row sees, weights in a second one over all, which finds the scores in the cache. Bytes, of each
 * pair of row and key: a score in, 2 out. */
template <typename T>
__global__ void __launch_bounds__(ROW_THREADS)
    naive_softmax_forward(const __grid_constant__ qn_attn_params p,
                          const __grid_constant__ score_scale scale, const T *scores,
                          bf16 *weights) {
    QN_SHARED(running, warps, [ROW_WARPS]);
    const row_place place = place_row(p, blockIdx.x);
    const bool wide = p.n_keys % VECTOR == 0;
    const T *row = scores + place.first;
    const float sign = p.scale < 0 ? -1.0f : 1.0f;
    const int32_t mine = threadIdx.x * VECTOR, step = ROW_THREADS * VECTOR;

    running x = {scale.start, 0};
    for (int32_t j = place.span.lo / step * step + mine; j < place.span.hi; j += step) {
        const vector8 s = load_part(row, j, p.n_keys, wide);
        running tile = {scale.start, 0};
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (span_has(place.span, j + i)) tile.m = fmaxf(tile.m, sign * s.x[i] * scale.base2);
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (span_has(place.span, j + i))
                tile.l += exp2_approx(fmaf(sign * s.x[i], scale.base2, -tile.m));
        x = merge(x, tile);
    }
    x = merge_warp(x);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads(); /* the warps' parts are there */
    x = warps[0];
    for (int w = 1; w < ROW_WARPS; w++) x = merge(x, warps[w]);
    if (threadIdx.x == 0) p.lse[lse_of(p, place)] = LN_2 * (x.m + log2_approx(x.l));

    const float inverse = x.l == 0 ? 0 : 1 / x.l;
    for (int32_t j = mine; j < p.n_keys; j += step) {
        vector8 w = {};
        if (j < place.span.hi && j + VECTOR > place.span.lo) {
            const vector8 s = load_part(row, j, p.n_keys, wide);
#pragma unroll
            for (int i = 0; i < VECTOR; i++)
                if (span_has(place.span, j + i))
                    w.x[i] = inverse * exp2_approx(fmaf(sign * s.x[i], scale.base2, -x.m));
        }
        store_part(weights + place.first, j, p.n_keys, wide, w);
    }
}

/* One block a row, eight elements a thread and step. Bytes, of each pair of row and key: a score
 * and a dweight in, 4 out. */
template <typename T>
__global__ void __launch_bounds__(ROW_THREADS)
    naive_softmax_backward(const __grid_constant__ qn_attn_params p,
                           const __grid_constant__ score_scale scale, const T *scores,
                           const T *dweights, bf16 *weights, bf16 *dscores) {
    const row_place place = place_row(p, blockIdx.x);
    const bool wide = p.n_keys % VECTOR == 0;
    const float lse = p.lse[lse_of(p, place)], delta = p.delta[blockIdx.x];
    const float lse2 = lse == -INFINITY ? INFINITY : lse * LOG2_E; /* so that weights are 0 */
    const float sign = p.scale < 0 ? -1.0f : 1.0f;
    for (int32_t j = threadIdx.x * VECTOR; j < p.n_keys; j += ROW_THREADS * VECTOR) {
        vector8 w = {}, ds = {};
        if (j < place.span.hi && j + VECTOR > place.span.lo) {
            const vector8 s = load_part(scores + place.first, j, p.n_keys, wide);
            const vector8 dw = load_part(dweights + place.first, j, p.n_keys, wide);
#pragma unroll
            for (int i = 0; i < VECTOR; i++)
                if (span_has(place.span, j + i)) {
                    w.x[i] = exp2_approx(fmaf(sign * s.x[i], scale.base2, -lse2));
                    ds.x[i] = w.x[i] * (dw.x[i] - delta);
                }
        }
        store_part(weights + place.first, j, p.n_keys, wide, w);
        store_part(dscores + place.first, j, p.n_keys, wide, ds);
    }
}

/* ---- launching --------------------------------------------------------------------------------
 */

static dim3 blocks_of(const qn_attn_params &p) {
    return dim3((uint32_t)((int64_t)p.batch * p.n_heads * p.n_queries));
}

int qn_attn_naive_softmax_forward(const qn_attn_params *p, const void *scores, int scores_f32,
                                  uint16_t *weights, struct CUstream_st *stream) {
    const score_scale scale = make_score_scale(p->scale);
    if (scores_f32)
        QN_LAUNCH(naive_softmax_forward<float>, blocks_of(*p), dim3(ROW_THREADS), 0, stream, *p,
                  scale, (const float *)scores, (bf16 *)weights);
    else
        QN_LAUNCH(naive_softmax_forward<bf16>, blocks_of(*p), dim3(ROW_THREADS), 0, stream, *p,
                  scale, (const bf16 *)scores, (bf16 *)weights);
    return QN_LAUNCH_ERROR();
}

int qn_attn_naive_softmax_backward(const qn_attn_params *p, const void *scores,
                                   const void *dweights, int scores_f32, uint16_t *weights,
                                   uint16_t *dscores, struct CUstream_st *stream) {
    const score_scale scale = make_score_scale(p->scale);
    if (scores_f32)
        QN_LAUNCH(naive_softmax_backward<float>, blocks_of(*p), dim3(ROW_THREADS), 0, stream, *p,
                  scale, (const float *)scores, (const float *)dweights, (bf16 *)weights,
                  (bf16 *)dscores);
    else
        QN_LAUNCH(naive_softmax_backward<bf16>, blocks_of(*p), dim3(ROW_THREADS), 0, stream, *p,
                  scale, (const bf16 *)scores, (const bf16 *)dweights, (bf16 *)weights,
                  (bf16 *)dscores);
    return QN_LAUNCH_ERROR();
}
