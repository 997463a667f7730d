/* launch.h: the attention kernels as C sees them. Each call enqueues and returns 0 or a
 * cudaError_t. Nothing is checked here beyond what params.h asks of the caller. */
#ifndef QUERN_CUDA_ATTENTION_LAUNCH_H
#define QUERN_CUDA_ATTENTION_LAUNCH_H

#include "params.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Lets the fused kernels have the shared memory that they need, as far as the device has it: once
 * for a device, before the first of them. Enqueues nothing. */
int qn_attn_fused_sm80_forward_open(void);
int qn_attn_fused_sm80_backward_open(const qn_cuda_queue *);

/* Fused forward for compute capability 8.0 and later: writes o and lse; with statistics adds to
 * them, after writing stats_parts. */
int qn_attn_fused_sm80_forward(const qn_attn_params *, const qn_cuda_queue *);
/* Tiles of query rows a head, ceil(Tq / rows of a tile). The workspace of a forward call with
 * statistics is B·Hq·tiles·sizeof(qn_attn_tile_stats). A grid holds fewer than 2^31 tiles:
 * B·Hq·tiles is the caller's to check. */
int64_t qn_attn_forward_tiles(int64_t head_dim, int64_t n_queries);
/* Adds stats_parts, in a fixed order, to stats_sums and stats_counts. Both forwards call it. */
int qn_attn_add_tile_stats(const qn_attn_params *, int64_t n_tiles, const qn_cuda_queue *);

/* delta = rowsum(dout ∘ o), which every backward pass begins with. Sets the first dq_head floats
 * (a multiple of 4) of each of the B·Hq heads in dq_sum, and n_semaphores semaphores, to 0. */
int qn_attn_delta(const qn_attn_params *, int64_t dq_head, int64_t n_semaphores,
                  const qn_cuda_queue *);

/* Fused backward for compute capability 8.0 and later, D up to 128: writes dq, dk and dv from q,
 * k, v, o, dout and lse. Needs delta and dq_sum, which it fills itself. With semaphores, which it
 * sets to 0 itself, the same inputs give the same bits each time. */
int qn_attn_fused_sm80_backward(const qn_attn_params *, const qn_cuda_queue *);
/* Floats of dq_sum for each of the B·Hq heads; dq_sum is aligned to 16 bytes. */
int64_t qn_attn_backward_dq_floats(int64_t head_dim, int64_t n_queries);
/* Semaphores for each of the B·Hkv key heads. A grid holds fewer than 2^31 tiles, so B·Hkv times
 * this, and B·Hq·ceil(Tq/64), are the caller's to check. */
int64_t qn_attn_backward_semaphores(int64_t n_keys);

/* Copies (B,T,H,D) from one view to another, element by element, so that any strides and any
 * alignment will do: what brings a view that the other kernels cannot read into a dense
 * workspace, and a result out of it. */
int qn_attn_copy_rows(qn_attn_view dst, qn_attn_view src, int32_t batch, int32_t n_rows,
                      int32_t n_heads, int32_t head_dim, const qn_cuda_queue *);

/* The naive path: what it does between its matrix products. Scores and their like are dense
 * (B,Hq,Tq,Tk) and fp32; weights and their gradients are bf16. All are aligned to 16 bytes;
 * B·Hq·Tq is below 2^31.
 *
 * Forward: weights = softmax(scale·scores + mask), and lse; with statistics adds to them, after
 * writing stats_parts, one a row: B·Hq·Tq·sizeof(qn_attn_tile_stats) of workspace. scores is
 * Q·Kᵀ. Hidden keys get weight 0; their scores are not read. */
int qn_attn_naive_softmax_forward(const qn_attn_params *, const float *scores, uint16_t *weights,
                                  const qn_cuda_queue *);
/* Backward: weights = exp(scale·scores − lse), dscores = weights ∘ (dweights − delta), from
 * scores = Q·Kᵀ, dweights = dO·Vᵀ, lse and delta. The gradients that follow carry the scale:
 * dq = scale·dscores·k. */
int qn_attn_naive_softmax_backward(const qn_attn_params *, const float *scores,
                                   const float *dweights, uint16_t *weights, uint16_t *dscores,
                                   const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
