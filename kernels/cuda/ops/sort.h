/* sort.h: indices in ascending order, with the places where they stood, as C sees it. */
#ifndef QUERN_CUDA_SORT_H
#define QUERN_CUDA_SORT_H

#include "queue.h"
#include "workspace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A pass looks at a digit of 9 bits; blocks share the n indices as at most so many ranges. */
enum { QN_SORT_DIGIT_BITS = 9, QN_SORT_DIGITS = 1 << QN_SORT_DIGIT_BITS, QN_SORT_RANGES = 64 };

typedef struct qn_cuda_sort {
    const int32_t *indices; /* (n), n below 2^31 */
    int64_t n;
    uint32_t limit;    /* stands for every index outside [0, limit), so that they come last */
    uint32_t *keys;    /* (n): the indices, ascending */
    int32_t *places;   /* (n): where each stood; ascending where indices are equal */
    uint32_t *keys_2;  /* (n): scratch, as are the rest */
    int32_t *places_2; /* (n) */
    int32_t *counts;   /* (QN_SORT_RANGES, QN_SORT_DIGITS) */
} qn_cuda_sort;

/* Cuts all that the sort writes out of a workspace; the size depends on n alone. */
qn_cuda_sort qn_cuda_sort_lay_out(int64_t n, qn_workspace *);

/* Two launches for every 9 bits of limit; n and limit are not 0. Returns 0 or a cudaError_t. */
int qn_cuda_launch_sort(const qn_cuda_sort *, const qn_cuda_queue *);

#ifdef __cplusplus
}
#endif
#endif
