/* classifier.h: the softmax of the classifier, as C sees it. The call enqueues and returns 0 or a
 * cudaError_t. */
#ifndef QUERN_CUDA_CLASSIFIER_H
#define QUERN_CUDA_CLASSIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Logits of `rows` tokens, at least one: `vocab` words in the first of `columns`; rows begin
 * `row_floats` apart, which is a multiple of 8 and at least columns, and are aligned to 16 bytes.
 */
typedef struct qn_cuda_logits {
    float *data;
    int64_t rows, vocab, columns, row_floats;
} qn_cuda_logits;

/* losses (rows) = −ln softmax(logits)[target], 0 for a negative target and NaN for one outside the
 * vocabulary. With `wants_gradient` each row becomes grad_scale·∂loss/∂logits in bf16, 0 in the
 * columns of no word, in the first half of its memory: rows of 2·row_floats bf16 elements. */
int qn_cuda_launch_cross_entropy(qn_cuda_logits logits, const int32_t *targets, float *losses,
                                 bool wants_gradient, float grad_scale, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
