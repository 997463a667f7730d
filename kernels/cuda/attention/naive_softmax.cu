/* naive_softmax.cu: what the naive path does between its matrix products, over scores that lie in
 * memory. Both kernels are bound by memory: each score that a row sees is read from it once (a
 * second time from the cache), each result written once. */
#include "launch.h"
#include "reduce.h"
#include "row_stats.h"
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

/* ---- statistics of a block's row ------------------------------------------------------------- */

/* What the weight w = 2^power of key j adds. */
QN_DEVICE void add_weight(row_stats &x, float w, float power, int32_t j, int32_t position,
                          int32_t document, int32_t local_window) {
    x.weighted = fmaf(w, power, x.weighted);
    x.distance = fmaf(w, (float)(position - j), x.distance);
    if (j == document) x.sink += w;
    if (position - j < local_window) x.local += w;
}

QN_DEVICE row_stats sum_lanes(const row_stats &x) {
    return {warp_sum(x.weighted), warp_sum(x.distance), warp_sum(x.sink), warp_sum(x.local)};
}

/* One thread. The row's statistics are a part of their own. */
QN_DEVICE void store_row_stats(const qn_attn_params &p, const row_place &place, running total,
                               const row_stats *warps) {
    row_stats x = warps[0];
    for (int w = 1; w < ROW_WARPS; w++) {
        x.weighted += warps[w].weighted;
        x.distance += warps[w].distance;
        x.sink += warps[w].sink;
        x.local += warps[w].local;
    }
    const int32_t position = position_of(p, place.row);
    qn_attn_tile_stats part;
    clear_stats(part);
    add_row(part, x, total.m, total.l, place.span, position,
            document_first(p, place.batch, position), p.stats_local_window);
    p.stats_parts[blockIdx.x] = part;
}

/* ---- the kernels --------------------------------------------------------------------------- */

/* One block a row, eight elements a thread and step: m and l in one pass over the keys that the
 * row sees, weights in a second one over all, which finds the scores in the cache; statistics are
 * gathered in the second, where m is known. Shared memory: what each warp has of the row. Bytes,
 * of each pair of row and key: 4 in if the row sees the key, 2 out. */
template <bool STATS>
__global__ void __launch_bounds__(ROW_THREADS)
    naive_softmax_forward(const __grid_constant__ qn_attn_params p,
                          const __grid_constant__ score_scale scale, const float *scores,
                          bf16 *weights) {
    QN_SHARED(running, warps, [ROW_WARPS]);
    QN_SHARED(row_stats, warp_stats, [STATS ? ROW_WARPS : 1]);
    const row_place place = place_row(p, blockIdx.x);
    const bool wide = p.n_keys % VECTOR == 0;
    const float *row = scores + place.first;
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
    const int32_t position = position_of(p, place.row);
    const int32_t document = STATS ? document_first(p, place.batch, position) : 0;
    row_stats stats = {0, 0, 0, 0};
    for (int32_t j = mine; j < p.n_keys; j += step) {
        vector8 w = {};
        if (j < place.span.hi && j + VECTOR > place.span.lo) {
            const vector8 s = load_part(row, j, p.n_keys, wide);
#pragma unroll
            for (int i = 0; i < VECTOR; i++)
                if (span_has(place.span, j + i)) {
                    const float power = fmaf(sign * s.x[i], scale.base2, -x.m);
                    const float weight = exp2_approx(power);
                    w.x[i] = inverse * weight;
                    if (STATS)
                        add_weight(stats, weight, power, j + i, position, document,
                                   p.stats_local_window);
                }
        }
        store_part(weights + place.first, j, p.n_keys, wide, w);
    }
    if constexpr (STATS) {
        const row_stats whole = sum_lanes(stats);
        if (threadIdx.x % 32 == 0) warp_stats[threadIdx.x / 32] = whole;
        __syncthreads(); /* the warps' sums are there */
        if (threadIdx.x == 0) store_row_stats(p, place, x, warp_stats);
    }
}

/* One block a row, eight elements a thread and step. Bytes, of each pair of row and key: 8 in if
 * the row sees the key, 4 out. */
__global__ void __launch_bounds__(ROW_THREADS)
    naive_softmax_backward(const __grid_constant__ qn_attn_params p,
                           const __grid_constant__ score_scale scale, const float *scores,
                           const float *dweights, bf16 *weights, bf16 *dscores) {
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

/* ---- launching ------------------------------------------------------------------------------ */

static dim3 blocks_of(const qn_attn_params &p) {
    return dim3((uint32_t)((int64_t)p.batch * p.n_heads * p.n_queries));
}

template <bool STATS>
static int launch_forward(const qn_attn_params &p, const float *scores, uint16_t *weights,
                          const qn_cuda_queue *queue) {
    QN_LAUNCH((naive_softmax_forward<STATS>), blocks_of(p), dim3(ROW_THREADS), 0, queue->stream, p,
              make_score_scale(p.scale), scores, (bf16 *)weights);
    return QN_LAUNCH_ERROR();
}

int qn_attn_naive_softmax_forward(const qn_attn_params *p, const float *scores, uint16_t *weights,
                                  const qn_cuda_queue *queue) {
    if (!p->stats_sums) return launch_forward<false>(*p, scores, weights, queue);
    const int error = launch_forward<true>(*p, scores, weights, queue);
    return error ? error : qn_attn_add_tile_stats(p, p->n_queries, queue);
}

int qn_attn_naive_softmax_backward(const qn_attn_params *p, const float *scores,
                                   const float *dweights, uint16_t *weights, uint16_t *dscores,
                                   const qn_cuda_queue *queue) {
    QN_LAUNCH(naive_softmax_backward, blocks_of(*p), dim3(ROW_THREADS), 0, queue->stream, *p,
              make_score_scale(p->scale), scores, dweights, (bf16 *)weights, (bf16 *)dscores);
    return QN_LAUNCH_ERROR();
}
