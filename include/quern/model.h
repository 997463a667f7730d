/* model.h: a transformer in one arena of device memory: parameters, gradients,
 * activations, and the forward and backward pass over them. */
#ifndef QUERN_MODEL_H
#define QUERN_MODEL_H

#include "quern/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_model qn_model;

/* Plans and allocates. Parameters are undefined until qn_model_init or qn_model_load. The
 * backend outlives the model. When memory does not suffice, the message says what the
 * plan needs and which options would lessen it. */
qn_status qn_model_create(qn_backend *backend, const qn_config *config,
                          const qn_plan_options *options, qn_model **out);
void qn_model_destroy(qn_model *model);

const qn_plan *qn_model_plan(const qn_model *model);
const qn_params *qn_model_params(const qn_model *model);
qn_backend *qn_model_backend(const qn_model *model);
qn_stream *qn_model_stream(const qn_model *model);
/* (device) The first copy of a buffer; NULL when the plan has none. */
void *qn_model_buffer(const qn_model *model, qn_buffer_id id);

/* Initial values, a function of (config, seed) alone. */
qn_status qn_model_init(qn_model *model, uint64_t seed);

/* Rounds QN_BUF_PARAMS into QN_BUF_WEIGHTS, where the plan has both. Initialising and loading
 * end with it, and the optimizer's update writes both; whoever else writes the masters calls it
 * before the next pass. */
qn_status qn_model_refresh_weights(qn_model *model);

/* Reads the parameters from DIR/model.safetensors (or its index, when sharded): every
 * parameter must be there with its shape; fp32, bf16 and fp16 are converted, to what the plan
 * keeps. GPT-2 files
 * without the "transformer." prefix and tied files that repeat lm_head are fine. */
qn_status qn_model_load(qn_model *model, const char *dir);
/* Writes DIR/model.safetensors under Hugging Face names, in fp32, or in the storage dtype where
 * the plan keeps no masters; not atomic: DIR is
 * published whole by the caller. *checksum (nullable): of the file. */
qn_status qn_model_save(const qn_model *model, const char *dir, uint64_t *checksum);

/* One micro-batch in host memory, (B,T) each as the plan has them. */
typedef struct qn_batch {
    const int32_t *tokens;
    const int32_t *targets;   /* negative: ignored */
    const int32_t *doc_start; /* read when the plan has `documents` */
} qn_batch;

/* Sets all gradients to zero: the beginning of a step. */
qn_status qn_model_zero_grads(qn_model *model);

/* Uploads the batch, which stays as it is until the stream has passed this call, and runs the
 * forward pass up to the loss and, with it, the gradient of the classifier: grad_scale·Σ losses is
 * what is differentiated (grad_scale: one over the targets of the whole step). Σ losses goes to
 * element `slot` of QN_BUF_LOSS_SUMS: that of the micro-step, from 0, or grad_accum, which is
 * spare. */
qn_status qn_model_forward(qn_model *model, const qn_batch *batch, int64_t slot, float grad_scale);

/* Called when elements [offset, offset + count) of the flat gradients are final. */
typedef qn_status (*qn_grads_ready)(void *context, int64_t offset, int64_t count,
                                    qn_stream *stream);

/* Backward pass of the forward pass just made; gradients add. `ready` is nullable. */
qn_status qn_model_backward(qn_model *model, qn_grads_ready ready, void *context);

/* Sum of the losses of micro-steps 0 … n−1, in nats; waits for the device. */
qn_status qn_model_loss_sum(qn_model *model, int64_t n_micro_steps, double *out);

/* Enqueues the way of a step's losses and gradient's sum of squares to the host. */
qn_status qn_model_fetch_result(qn_model *model);
/* Waits for the device: the sum of the losses that were fetched, and the norm of the gradient as
 * the optimizer's step found it. */
qn_status qn_model_step_result(qn_model *model, double *loss_sum, double *grad_norm);

/* Forward pass without gradients: sum of the losses of a batch; waits for the device. */
qn_status qn_model_evaluate(qn_model *model, const qn_batch *batch, double *loss_sum);

/* QN_PLAN_GENERATE: runs `count` more tokens of each of the B sequences, tokens (B,count),
 * through the model and its KV cache at positions start … start + count − 1, and gives the
 * logits (B,V) of the last one in host memory. start + count ≤ seq_len. */
qn_status qn_model_extend(qn_model *model, const int32_t *tokens, int64_t start, int64_t count,
                          float *logits);

/* Statistics of attention in the next forward passes: n_layers entries, or NULL for none
 * (the default). The entries stay the caller's, and as they are while they are set; what they
 * point to is device memory. */
void qn_model_set_stats(qn_model *model, qn_attn_stats *per_layer);
const qn_attn_stats *qn_model_stats(const qn_model *model);

#ifdef __cplusplus
}
#endif
#endif
