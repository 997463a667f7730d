/* params.h: what one call of attention hands to its kernels, by value. Plain C, for the C code
 * that checks a call and for the kernels alike; shapes and masks as in ops.h.
 *
 * What the caller has checked before any kernel sees it: Tq and Tk are at most
 * QN_ATTN_MAX_LENGTH; D is a multiple of 8, at most 256; every view's data is aligned to 16 bytes
 * and its strides are multiples of 8 elements (for a view that is not, see qn_attn_copy_rows); a
 * window that hides nothing is given as 0; nothing here is empty, except that Tk may be, with
 * doc_start NULL. The values of doc_start are not checked: they never lead outside of the keys,
 * and an entry that lies past its own position hides every key from that position. */
#ifndef QUERN_CUDA_ATTENTION_PARAMS_H
#define QUERN_CUDA_ATTENTION_PARAMS_H

#include <stdint.h>

/* A (B,T,H,D) bf16 tensor: strides in elements, the last axis dense. */
typedef struct qn_attn_view {
    uint16_t *data;
    int64_t batch, row, head;
} qn_attn_view;

/* The end of a tile or of a thread block's step past the last key still fits 32 bits. */
enum { QN_ATTN_MAX_LENGTH = INT32_MAX - 4095 };

enum { QN_ATTN_PART_SUMS = 10, QN_ATTN_PART_COUNTS = 2 };

/* Statistics of one tile of query rows of one head, or of one row, in the order of ops.h. */
typedef struct qn_attn_tile_stats {
    float sums[QN_ATTN_PART_SUMS];
    int32_t counts[QN_ATTN_PART_COUNTS];
} qn_attn_tile_stats;

typedef struct qn_attn_params {
    qn_attn_view q, o, dout, dq; /* (B,Tq,Hq,D) */
    qn_attn_view k, v, dk, dv;   /* (B,Tk,Hkv,D) */
    float *lse;                  /* (B,Hq,Tq), natural log */
    int64_t lse_batch, lse_head, lse_row;
    const int32_t *doc_start; /* (B,Tk), NULL: one document */
    int64_t doc_batch;

    int32_t batch, n_heads, n_kv_heads, n_queries, n_keys, head_dim;
    float scale;
    int32_t causal; /* 0 or 1 */
    int32_t window; /* 0: off; else 1 to n_keys */

    /* Forward with statistics: where they are added, and (B,Hq,tiles of rows) parts in the
     * workspace; fused has the tiles that qn_attn_forward_tiles says, naive one a row. */
    float *stats_sums;          /* (10,Hq); NULL: no statistics */
    int64_t *stats_counts;      /* (2,Hq) */
    int32_t stats_local_window; /* clamped to INT32_MAX */
    qn_attn_tile_stats *stats_parts;

    /* Backward, all in the workspace. */
    float *delta;        /* (B,Hq,Tq) dense: rowsum(dout ∘ o) */
    float *dq_sum;       /* fp32 sums of dq, as the backward kernel lays them out */
    int32_t *semaphores; /* deterministic: how far each block's additions to dq are; else NULL */
} qn_attn_params;

#endif
