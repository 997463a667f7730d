/* adamw.cu: the optimizer's update in one pass over the flat arrays. */
#include "adamw.h"

#include "stochastic.h"
#include "vector.h"

enum { THREADS = 256, TILE = THREADS * VECTOR, RESIDENT = 8 };

/* What holds for every element of an update. */
struct adamw_step {
    float scale; /* of the gradients, with clipping */
    float lr, corrected, root_scale;
    int64_t number;
};

/* grad_scale, clipped by the norm of the gradient; in fp64, as a square root and two products of
 * fp32 would cost the last bits of every gradient. */
QN_DEVICE float clipped_scale(const qn_cuda_adamw_update &u) {
    const double scale = (double)u.grad_scale, clip = (double)u.clip;
    const double norm = fabs(scale) * sqrt((double)*u.grad_sumsq);
    return (float)(clip > 0 && norm > clip ? scale * (clip / norm) : scale);
}

QN_DEVICE adamw_step step_of(const qn_cuda_adamw_update &u) {
    const qn_adamw_rate rate = *u.rate;
    return {clipped_scale(u), rate.lr, rate.corrected, rate.root_scale, rate.step};
}

QN_DEVICE void update(const qn_cuda_adamw_update &u, const adamw_step &s, float shrink, float g,
                      float &m, float &v, float &param) {
    m = u.beta1 * m + (1.0f - u.beta1) * g;
    v = u.beta2 * v + (1.0f - u.beta2) * g * g;
    param -= s.corrected * m / (sqrtf(v) * s.root_scale + u.eps) + shrink * param;
}

/* Elements [from, to) of chunk `chunk` of the flat arrays. */
QN_DEVICE void update_chunk(const qn_cuda_adamw_update &u, const adamw_step &s, float shrink,
                            int64_t chunk, int from, int to) {
    const bool wide = u.aligned && to - from == VECTOR;
    const int64_t at = chunk * VECTOR;
    const vector8 grad = load_between(u.grad + at, from, to, wide);
    vector8 m = load_between(u.m + at, from, to, wide);
    vector8 v = load_between(u.v + at, from, to, wide);
    vector8 param = load_between(u.param + at, from, to, wide);
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        update(u, s, shrink, grad.x[i] * s.scale, m.x[i], v.x[i], param.x[i]);
    store_between(u.m + at, from, to, wide, m);
    store_between(u.v + at, from, to, wide, v);
    store_between(u.param + at, from, to, wide, param);
    bf16 *const weights = (bf16 *)u.weights;
    if (!weights) return;
    if (u.stochastic)
        store_stochastic(weights + at, param, qn_rounding_group(u.seed, s.number, chunk), from, to,
                         wide);
    else
        store_between(weights + at, from, to, wide, param);
}

/* What of the chunk lies in the segment. */
QN_DEVICE void update_in_segment(const qn_cuda_adamw_update &u, const adamw_step &s,
                                 const qn_adamw_segment &segment, int64_t chunk) {
    const int64_t from = segment.offset - chunk * VECTOR, to = from + segment.count;
    if (from < VECTOR && to > 0 && to > from)
        update_chunk(u, s, s.lr * segment.weight_decay, chunk, from > 0 ? (int)from : 0,
                     to < VECTOR ? (int)to : VECTOR);
}

/* One tile: 256 threads, a chunk of 8 elements each, in registers; a tile has parts of as many
 * segments as begin in it. Shared memory has the numbers of the step, which one thread works out.
 * Blocks go through the tiles a grid apart, and through the segments as they come to them. When
 * grad_sumsq is not finite nothing is written.
 *
 * Bytes: 16 an element read, 12 written, 2 more with a working copy; 15 operations, a root and a
 * division, and for stochastic rounding ten rounds of Philox for 8 elements. */
__global__ void __launch_bounds__(THREADS)
    adamw_kernel(const __grid_constant__ qn_cuda_adamw_update u) {
    QN_SHARED(adamw_step, step, );
    if (!(fabsf(*u.grad_sumsq) < INFINITY)) return;
    if (threadIdx.x == 0) step = step_of(u);
    __syncthreads(); /* the step is there */
    int first = 0;   /* segment that does not end before the tile */
    for (int64_t begin = blockIdx.x * (int64_t)TILE; begin < u.count;
         begin += gridDim.x * (int64_t)TILE) {
        const int64_t chunk = begin / VECTOR + threadIdx.x;
        while (first < u.n_segments && u.segments[first].offset + u.segments[first].count <= begin)
            first++;
        for (int i = first; i < u.n_segments && u.segments[i].offset < begin + TILE; i++)
            update_in_segment(u, step, u.segments[i], chunk);
    }
}

int qn_cuda_launch_adamw(const qn_cuda_adamw_update *update, const qn_cuda_queue *queue) {
    const unsigned blocks = qn_cuda_blocks(queue, (update->count + TILE - 1) / TILE, 1, RESIDENT);
    QN_LAUNCH(adamw_kernel, dim3(blocks), dim3(THREADS), 0, queue->stream, *update);
    return QN_LAUNCH_ERROR();
}
