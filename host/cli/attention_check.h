/* attention_check.h: attention in float64 for a few rows and keys, cheap at any length. */
#ifndef QUERN_CLI_ATTENTION_CHECK_H
#define QUERN_CLI_ATTENTION_CHECK_H

#include "quern/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A problem without documents and with as many queries as keys, and what an implementation
 * made of it, all in host memory and dense: q, o, dout, dq (B,T,Hq,D); k, v, dk, dv
 * (B,T,Hkv,D); lse (B,Hq,T). */
typedef struct qn_attention_check {
    int64_t batch, seq_len, n_heads, n_kv_heads, head_dim;
    bool causal;
    int64_t window;
    double scale;
    bool bf16; /* everything but lse is stored in bf16, and so are operands of products */
    const float *q, *k, *v, *o, *lse, *dout, *dq, *dk, *dv;
} qn_attention_check;

enum { QN_ATTENTION_CHECK_ROWS = 16 };

/* Pairs of a query and a key that it sees, in one head of one sequence. */
double qn_attention_pairs(const qn_attention_check *c);

typedef struct qn_attention_error {
    double largest; /* max |x − float64|, over what an implementation computed */
    double plain;   /* the same of a plain computation with bf16 operands and results, which is
                       what `largest` is to be judged by; 0 in fp32 */
} qn_attention_error;

/* Over 16 rows of o and lse, spread over positions, heads and sequences, the first and the last
 * among them. */
qn_status qn_attention_check_forward(const qn_attention_check *c, qn_attention_error *error);

/* Over 16 rows of dq and 16 keys' rows of dk and dv. The keys' rows take lse and o of all queries
 * as they are given. */
qn_status qn_attention_check_backward(const qn_attention_check *c, qn_attention_error *error);

#endif
