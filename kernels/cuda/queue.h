/* queue.h: what a launcher needs to know of the device: where to enqueue, how wide a grid fills it,
 * and what it has room for. Plain C, for the C code of the backend and for .cu files alike. */
#ifndef QUERN_CUDA_QUEUE_H
#define QUERN_CUDA_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct CUstream_st; /* a cudaStream_t points to one */

typedef struct qn_cuda_queue {
    struct CUstream_st *stream;
    int multiprocessors;
    size_t l2_bytes;     /* of the L2 cache */
    size_t shared_bytes; /* of shared memory that a block may ask for */
} qn_cuda_queue;

/* Blocks of a grid whose threads take `items` work items a block, and come back for more: as many
 * as the items need, at most `resident` a multiprocessor, at least 1. */
static inline unsigned qn_cuda_blocks(const qn_cuda_queue *queue, int64_t items, int64_t per_block,
                                      int resident) {
    const int64_t needed = items / per_block + (items % per_block > 0);
    const int64_t most = (int64_t)queue->multiprocessors * resident;
    return (unsigned)(needed < 1 ? 1 : needed < most ? needed : most);
}

#endif
