/* mask.h: which keys a query sees, and which queries see a key. Causality, window and documents
 * each cut an interval out of the keys; so what a query sees is one interval, and neither of its
 * ends falls from one query to the next. A tile of rows is therefore described by its first and
 * its last row alone. */
#ifndef QUERN_CUDA_ATTENTION_MASK_H
#define QUERN_CUDA_ATTENTION_MASK_H

#include "../prim/prim.h"
#include "params.h"

/* Positions [lo, hi); empty where hi <= lo. */
struct position_span {
    int32_t lo, hi;
};

QN_DEVICE int32_t min_i32(int32_t a, int32_t b) { return a < b ? a : b; }
QN_DEVICE int32_t max_i32(int32_t a, int32_t b) { return a > b ? a : b; }

/* The position of a query row among the keys. */
QN_DEVICE int32_t position_of(const qn_attn_params &p, int32_t row) {
    return row + (p.n_keys - p.n_queries);
}

/* The first position of the document that position i belongs to. */
QN_DEVICE int32_t document_first(const qn_attn_params &p, int32_t batch, int32_t i) {
    return p.doc_start ? max_i32(p.doc_start[batch * p.doc_batch + i], 0) : 0;
}

/* One past the last position of that document, by bisection: doc_start never falls. */
QN_DEVICE int32_t document_end(const qn_attn_params &p, int32_t batch, int32_t i) {
    if (!p.doc_start) return p.n_keys;
    const int32_t *doc_start = p.doc_start + batch * p.doc_batch;
    const int32_t document = doc_start[i];
    int32_t inside = i, outside = p.n_keys;
    while (outside - inside > 1) {
        const int32_t middle = inside + (outside - inside) / 2;
        if (doc_start[middle] == document)
            inside = middle;
        else
            outside = middle;
    }
    return outside;
}

/* The keys that a query row of sequence `batch` sees: none where doc_start[i] > i. */
QN_DEVICE position_span keys_seen(const qn_attn_params &p, int32_t batch, int32_t row) {
    const int32_t i = position_of(p, row);
    position_span span;
    span.lo = document_first(p, batch, i);
    span.hi = p.causal || span.lo > i ? i + 1 : document_end(p, batch, i);
    if (p.window) {
        span.lo = max_i32(span.lo, i - p.window + 1);
        if (p.window < span.hi - i) span.hi = i + p.window;
    }
    return span;
}

/* The query rows that see a key, as rows, not positions; for skipping tiles only, because rows
 * that doc_start hides are among them. */
QN_DEVICE position_span rows_that_see(const qn_attn_params &p, int32_t batch, int32_t key) {
    position_span span;
    span.lo = p.causal ? key : document_first(p, batch, key);
    span.hi = document_end(p, batch, key);
    if (p.window) {
        span.lo = max_i32(span.lo, key - p.window + 1);
        if (p.window < span.hi - key) span.hi = key + p.window;
    }
    const int32_t first_position = p.n_keys - p.n_queries;
    return {max_i32(span.lo - first_position, 0), span.hi - first_position};
}

/* ---- tiles ------------------------------------------------------------------ */

/* What the rows of a tile see: `any` the keys that some row may see, `all` those that every row
 * sees. */
struct tile_span {
    position_span any, all;
};

/* From the spans of the tile's first and last row. */
QN_DEVICE tile_span span_of_tile(position_span first, position_span last) {
    return {{first.lo, last.hi}, {last.lo, first.hi}};
}

/* All of [begin, end) is seen, so that no mask is needed. Where end lies past the last key that
 * is never so. */
QN_DEVICE bool tile_is_full(const tile_span &span, int32_t begin, int32_t end) {
    return span.all.lo <= begin && end <= span.all.hi;
}

QN_DEVICE bool span_has(position_span span, int32_t i) { return span.lo <= i && i < span.hi; }

#endif
