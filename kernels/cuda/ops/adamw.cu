/* adamw.cu: the optimizer's update in one pass over the flat arrays. */
#include "adamw.h"

#include "stochastic.h"
#include "vector.h"

enum { THREADS = QN_CUDA_ADAMW_TILE / VECTOR, RESIDENT = 8 };

static_assert(sizeof(qn_cuda_adamw_step) + sizeof(qn_cuda_adamw_batch) <= 4096,
              "parameters of a kernel");

/* grad_scale, clipped by the norm of the gradient; in fp64, as a square root and two products of
 * fp32 would cost the last bits of every gradient. */
QN_DEVICE float clipped_scale(const qn_cuda_adamw_step &s) {
    const double scale = (double)s.grad_scale, clip = (double)s.clip;
    const double norm = fabs(scale) * sqrt((double)*s.grad_sumsq);
    return (float)(clip > 0 && norm > clip ? scale * (clip / norm) : scale);
}

QN_DEVICE void update(const qn_cuda_adamw_step &s, float shrink, float g, float &m, float &v,
                      float &param) {
    m = s.beta1 * m + (1.0f - s.beta1) * g;
    v = s.beta2 * v + (1.0f - s.beta2) * g * g;
    param -= s.rate * m / (sqrtf(v) * s.root_scale + s.eps) + shrink * param;
}

/* Elements [from, to) of chunk `chunk` of the flat arrays. */
QN_DEVICE void update_chunk(const qn_cuda_adamw_step &s, float shrink, float scale, int64_t chunk,
                            int from, int to) {
    const bool wide = s.aligned && to - from == VECTOR;
    const int64_t at = chunk * VECTOR;
    const vector8 grad = load_between(s.grad + at, from, to, wide);
    vector8 m = load_between(s.m + at, from, to, wide);
    vector8 v = load_between(s.v + at, from, to, wide);
    vector8 param = load_between(s.param + at, from, to, wide);
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        update(s, shrink, grad.x[i] * scale, m.x[i], v.x[i], param.x[i]);
    store_between(s.m + at, from, to, wide, m);
    store_between(s.v + at, from, to, wide, v);
    store_between(s.param + at, from, to, wide, param);
    bf16 *const weights = (bf16 *)s.weights;
    if (!weights) return;
    if (s.stochastic)
        store_stochastic(weights + at, param, qn_rounding_group(s.seed, s.number, chunk), from, to,
                         wide);
    else
        store_between(weights + at, from, to, wide, param);
}

/* One tile: 256 threads, a chunk of 8 elements each, in registers. Shared memory has the scale of
 * the gradients, which one thread works out. Blocks go through the tiles of the batch a grid
 * apart, and through its segments as they come to them. When grad_sumsq is not finite nothing is
 * read or written.
 *
 * Bytes: 16 an element read, 12 written, 2 more with a working copy; 15 operations, a root and a
 * division, and for stochastic rounding ten rounds of Philox for 8 elements. */
__global__ void __launch_bounds__(THREADS)
    adamw_kernel(const __grid_constant__ qn_cuda_adamw_step s,
                 const __grid_constant__ qn_cuda_adamw_batch batch) {
    QN_SHARED(float, scale, );
    if (!(fabsf(*s.grad_sumsq) < INFINITY)) return;
    if (threadIdx.x == 0) scale = clipped_scale(s);
    __syncthreads(); /* the scale is there */
    int segment = 0;
    for (int64_t tile = blockIdx.x; tile < batch.end_tile[batch.n - 1]; tile += gridDim.x) {
        while (tile >= batch.end_tile[segment]) segment++;
        const int64_t begin = batch.begin[segment], end = batch.end[segment];
        const int64_t first_tile = segment ? batch.end_tile[segment - 1] : 0;
        const int64_t chunk =
            (begin / QN_CUDA_ADAMW_TILE + tile - first_tile) * THREADS + (int64_t)threadIdx.x;
        const int64_t from = begin - chunk * VECTOR, to = end - chunk * VECTOR;
        if (from < VECTOR && to > 0)
            update_chunk(s, batch.shrink[segment], scale, chunk, from > 0 ? (int)from : 0,
                         to < VECTOR ? (int)to : VECTOR);
    }
}

int qn_cuda_launch_adamw(const qn_cuda_adamw_step *step, const qn_cuda_adamw_batch *batch,
                         const qn_cuda_queue *queue) {
    const unsigned blocks = qn_cuda_blocks(queue, batch->end_tile[batch->n - 1], 1, RESIDENT);
    QN_LAUNCH(adamw_kernel, dim3(blocks), dim3(THREADS), 0, queue->stream, *step, *batch);
    return QN_LAUNCH_ERROR();
}
