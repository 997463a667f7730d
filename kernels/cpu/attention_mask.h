/* attention_mask.h: which keys a query sees. Causality, window and documents each cut an
 * interval out of the keys, so what a query sees is always one interval, and both of its
 * ends never fall from one query to the next. */
#ifndef QUERN_CPU_ATTENTION_MASK_H
#define QUERN_CPU_ATTENTION_MASK_H

#include "cpu.h"

/* Keys [lo, hi). */
typedef struct qn_attn_span {
    int64_t lo, hi;
} qn_attn_span;

typedef struct qn_attn_mask {
    int64_t n_queries, n_keys;
    bool causal;
    int64_t window;           /* 0: off */
    const int32_t *doc_start; /* (B,Tk), NULL: one document */
    int64_t doc_stride;       /* of the batch axis */
} qn_attn_mask;

/* The position of a query row among the keys. */
static inline int64_t qn_attn_position(const qn_attn_mask *mask, int64_t row) {
    return row + mask->n_keys - mask->n_queries;
}

/* The first position of the document that position i belongs to. */
static inline int64_t qn_attn_doc_first(const qn_attn_mask *mask, int64_t batch, int64_t i) {
    return mask->doc_start ? mask->doc_start[batch * mask->doc_stride + i] : 0;
}

/* One past the last position of that document, by bisection: doc_start never falls. */
static inline int64_t qn_attn_doc_end(const qn_attn_mask *mask, int64_t batch, int64_t i) {
    if (!mask->doc_start) return mask->n_keys;
    const int32_t *doc_start = mask->doc_start + batch * mask->doc_stride;
    int64_t inside = i, outside = mask->n_keys;
    while (outside - inside > 1) {
        int64_t middle = inside + (outside - inside) / 2;
        if (doc_start[middle] == doc_start[i])
            inside = middle;
        else
            outside = middle;
    }
    return outside;
}

/* The keys that query `row` of sequence `batch` sees. */
static inline qn_attn_span qn_attn_visible(const qn_attn_mask *mask, int64_t batch, int64_t row) {
    int64_t i = qn_attn_position(mask, row);
    qn_attn_span span = {.lo = qn_attn_doc_first(mask, batch, i)};
    span.hi = mask->causal ? i + 1 : qn_attn_doc_end(mask, batch, i);
    if (mask->window > 0 && mask->window <= mask->n_keys) {
        span.lo = qn_max_i64(span.lo, i - mask->window + 1);
        span.hi = qn_min_i64(span.hi, i + mask->window);
    }
    return span;
}

#endif
