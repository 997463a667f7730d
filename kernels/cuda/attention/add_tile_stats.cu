/* add_tile_stats.cu: the statistics of the tiles, or of the rows, added up by head. */
#include "launch.h"
#include "row_stats.h"

/* One block a head, one warp a statistic: lanes take the tiles of all sequences in turn, and add
 * up in double in a fixed order. Bytes: each part once. */
__global__ void __launch_bounds__(32 * (QN_ATTN_N_SUMS + QN_ATTN_N_COUNTS))
    add_tile_stats(const __grid_constant__ qn_attn_params p, int64_t n_tiles) {
    const int lane = threadIdx.x % 32, s = threadIdx.x / 32, c = s - QN_ATTN_N_SUMS;
    const int32_t head = blockIdx.x;
    double sum = s == QN_ATTN_MAX_LOGIT ? -INFINITY : 0;
    for (int32_t b = 0; b < p.batch; b++) {
        const qn_attn_tile_stats *parts = p.stats_parts + ((int64_t)b * p.n_heads + head) * n_tiles;
        for (int64_t tile = lane; tile < n_tiles; tile += 32) {
            const double x = c < 0 ? (double)parts[tile].sums[s] : (double)parts[tile].counts[c];
            sum = s == QN_ATTN_MAX_LOGIT ? fmax(sum, x) : sum + x;
        }
    }
#pragma unroll
    for (int mask = 1; mask < 32; mask *= 2) {
        const double other = __shfl_xor_sync(0xffffffffu, sum, mask);
        sum = s == QN_ATTN_MAX_LOGIT ? fmax(sum, other) : sum + other;
    }
    if (lane != 0) return;
    if (c >= 0) {
        p.stats_counts[(int64_t)c * p.n_heads + head] += (int64_t)sum;
        return;
    }
    float *out = &p.stats_sums[(int64_t)s * p.n_heads + head];
    *out = s == QN_ATTN_MAX_LOGIT ? fmaxf(*out, (float)sum) : (float)(*out + sum);
}

int qn_attn_add_tile_stats(const qn_attn_params *p, int64_t n_tiles, const qn_cuda_queue *queue) {
    QN_LAUNCH(add_tile_stats, dim3((uint32_t)p->n_heads),
              dim3(32 * (QN_ATTN_N_SUMS + QN_ATTN_N_COUNTS)), 0, queue->stream, *p, n_tiles);
    return QN_LAUNCH_ERROR();
}
