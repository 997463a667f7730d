/* embedding.h: the kernels of the embedding, as C sees them. Each call enqueues and returns 0 or a
 * cudaError_t. */
#ifndef QUERN_CUDA_EMBEDDING_H
#define QUERN_CUDA_EMBEDDING_H

#include "quern/tensor.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out[n] = wte[tokens[n]] (+ wpe[positions[n]] where wpe has data), NaN where an index is outside
 * its table. `wide`: all three, and rows of wpe where it has data, are what qn_cuda_wide says. Not
 * empty. */
typedef struct qn_cuda_embedding {
    qn_tensor out, tokens, wte, positions, wpe;
    bool wide;
} qn_cuda_embedding;

int qn_cuda_launch_embedding(const qn_cuda_embedding *, const qn_cuda_queue *);

/* Sorted rows are summed a piece of so many at a time. */
enum { QN_EMBEDDING_PIECE = 32 };

/* table[keys[i]] += dout[places[i]] for keys in ascending order; keys outside the table come last
 * and are skipped. */
typedef struct qn_cuda_row_sums {
    const uint32_t *keys;  /* (N), N below 2^31 */
    const int32_t *places; /* (N) */
    qn_tensor dout;        /* (N,C) bf16 */
    qn_tensor table;       /* (V,C) fp32 */
    bool wide_dout, wide_table;
    /* (pieces, 2, partial_stride), scratch: of each piece the sum of the row that began in a piece
     * before, and the sum of the row that goes on in the next one. */
    float *partials;
    int64_t partial_stride; /* C or more, a multiple of 8 */
} qn_cuda_row_sums;

int qn_cuda_launch_row_sums(const qn_cuda_row_sums *, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
