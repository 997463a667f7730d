/* classifier.cu: cross-entropy over rows of logits, and its gradient in their place. */
#include "classifier.h"

#include <float.h>
#include <math.h>

#include "vector.h"

enum { THREADS = 256, WARPS = THREADS / 32, STEP = THREADS * VECTOR };

/* ---- the softmax's maximum and sum ---------------------------------------------- */

/* The largest logit so far and Σ e^(logit − it). The difference is taken before it is scaled:
 * logits of 10⁴ keep the digits in which they differ. A NaN stays in the sum. */
struct logit_sum {
    float most, sum;
};

QN_DEVICE float exp_of(float x) { return exp2_approx(1.44269504f * x); }

QN_DEVICE logit_sum merge_sums(logit_sum a, logit_sum b) {
    const float most = fmaxf(a.most, b.most);
    return {most, a.sum * exp_of(a.most - most) + b.sum * exp_of(b.most - most)};
}

/* Merges the first n of eight logits. */
QN_DEVICE void take(logit_sum &x, const vector8 &logits, int64_t n) {
    logit_sum eight = {-FLT_MAX, 0};
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        if (i < n) eight.most = fmaxf(eight.most, logits.x[i]);
    const float most = fmaxf(x.most, eight.most);
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        if (i < n) eight.sum += exp_of(logits.x[i] - most);
    x.sum = x.sum * exp_of(x.most - most) + eight.sum;
    x.most = most;
}

/* Over the block, in every thread and in the same order. `warps` lies in shared memory. */
QN_DEVICE logit_sum merge_block_sums(logit_sum x, logit_sum (&warps)[WARPS]) {
#pragma unroll
    for (int away = 16; away > 0; away /= 2)
        x = merge_sums(x, {__shfl_xor_sync(0xffffffffu, x.most, away),
                           __shfl_xor_sync(0xffffffffu, x.sum, away)});
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads(); /* the warps' parts are there; and the whole row has been read once */
    x = warps[0];
    for (int w = 1; w < WARPS; w++) x = merge_sums(x, warps[w]);
    return x;
}

/* ---- a row ------------------------------------------------------------------------- */

QN_DEVICE void clear_gradient(bf16 *row, int64_t columns) {
    for (int64_t j = threadIdx.x * VECTOR; j < columns; j += STEP) store8(row + j, vector8{});
}

/* Writes scale·e^(logit − most), less grad_scale at the target, over the logits of words and 0 over
 * those of none, from the left: STEP elements at a time, whose bf16 take the place of half as many
 * logits. Step s writes where the logits of step ⌊s/2⌋ were, or of step 0 for the first, never of a
 * later step than its own; so one barrier a step, between reading and writing, keeps every logit
 * until it was read. */
QN_DEVICE void write_gradient(float *row, int64_t vocab, int64_t columns, float most, float scale,
                              int64_t target, float grad_scale) {
    bf16 *const gradient = (bf16 *)row;
    for (int64_t begin = 0; begin < columns; begin += STEP) {
        const int64_t j = begin + threadIdx.x * VECTOR;
        vector8 v = {};
        if (j < vocab) v = load8(row + j);
        __syncthreads(); /* this step's logits have been read by all */
#pragma unroll
        for (int i = 0; i < VECTOR; i++) {
            v.x[i] = j + i < vocab ? scale * exp_of(v.x[i] - most) : 0;
            if (j + i == target) v.x[i] -= grad_scale;
        }
        if (j < columns) store8(gradient + j, v);
    }
}

/* One block a row, 256 threads, each 8 logits a step. A first pass keeps the maximum and the sum
 * in registers, which meet in 64 bytes of shared memory; a second one, which finds the logits in
 * the L2 cache where they fit, writes the gradient. Whole vectors are read and written: what they
 * hold past the vocabulary counts nowhere, and past the columns is the row's padding. Bytes, of
 * each logit: 4 in, and for the gradient 4 more and 2 out; two exponentials. */
__global__ void __launch_bounds__(THREADS)
    cross_entropy(const __grid_constant__ qn_cuda_logits logits, const int32_t *targets,
                  float *losses, bool wants_gradient, float grad_scale) {
    QN_SHARED(logit_sum, warps, [WARPS]);
    const int64_t vocab = logits.vocab, target = targets[blockIdx.x];
    float *const row = logits.data + blockIdx.x * logits.row_floats;
    if (target < 0) { /* whatever the logits are: they may be NaN */
        if (threadIdx.x == 0) losses[blockIdx.x] = 0;
        if (wants_gradient) clear_gradient((bf16 *)row, logits.columns);
        return;
    }
    const float chosen = target < vocab ? row[target] : NAN; /* before it is overwritten */
    logit_sum x = {-FLT_MAX, 0};
    for (int64_t j = threadIdx.x * VECTOR; j < vocab; j += STEP) take(x, load8(row + j), vocab - j);
    x = merge_block_sums(x, warps);
    if (threadIdx.x == 0) losses[blockIdx.x] = logf(x.sum) + (x.most - chosen);
    if (!wants_gradient) return;
    const float scale = target < vocab ? grad_scale / x.sum : NAN;
    write_gradient(row, vocab, logits.columns, x.most, scale, target, grad_scale);
}

int qn_cuda_launch_cross_entropy(qn_cuda_logits logits, const int32_t *targets, float *losses,
                                 bool wants_gradient, float grad_scale,
                                 const qn_cuda_queue *queue) {
    QN_LAUNCH(cross_entropy, dim3((unsigned)logits.rows), dim3(THREADS), 0, queue->stream, logits,
              targets, losses, wants_gradient, grad_scale);
    return QN_LAUNCH_ERROR();
}
