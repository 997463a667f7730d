/* attention_stats.h: statistics of attention rows, gathered by parts that are added in
 * a fixed order, so that the sums do not depend on the threads. */
#ifndef QUERN_CPU_ATTENTION_STATS_H
#define QUERN_CPU_ATTENTION_STATS_H

#include <math.h>
#include <string.h>

#include "attention_mask.h"

/* What some rows of one query head add. */
typedef struct qn_attn_part {
    double sums[QN_ATTN_N_SUMS];
    int64_t counts[QN_ATTN_N_COUNTS];
} qn_attn_part;

/* One row: entropy in nats, max_logit scaled, the rest as the sums of ops.h. */
typedef struct qn_attn_row_stats {
    double entropy, max_logit, p_max, distance, sink, local;
} qn_attn_row_stats;

static inline void qn_attn_part_clear(qn_attn_part *part) {
    memset(part, 0, sizeof *part);
    part->sums[QN_ATTN_MAX_LOGIT] = -INFINITY;
}

/* What uniform attention over the keys that the row sees would give. */
static inline void qn_attn_part_add_base(qn_attn_part *part, const qn_attn_mask *mask,
                                         int64_t batch, int64_t row, int64_t local_window) {
    qn_attn_span span = qn_attn_visible(mask, batch, row);
    int64_t i = qn_attn_position(mask, row);
    int64_t first = qn_attn_doc_first(mask, batch, i);
    double n = (double)(span.hi - span.lo);
    int64_t local_lo = qn_max_i64(span.lo, i - qn_min_i64(local_window, i + 1) + 1);
    part->sums[QN_ATTN_BASE_P_MAX] += 1 / n;
    part->sums[QN_ATTN_BASE_DISTANCE] += (double)i - 0.5 * (double)(span.lo + span.hi - 1);
    part->sums[QN_ATTN_BASE_SINK] += span.lo <= first && first < span.hi ? 1 / n : 0;
    part->sums[QN_ATTN_BASE_LOCAL] += (double)qn_max_i64(span.hi - local_lo, 0) / n;
}

/* Adds a row that sees n keys; one with n = 0 counts nowhere. */
static inline void qn_attn_part_add(qn_attn_part *part, const qn_attn_row_stats *row, int64_t n) {
    if (n == 0) return;
    part->counts[QN_ATTN_ROWS]++;
    if (n > 1) {
        part->counts[QN_ATTN_ROWS_ENTROPY]++;
        part->sums[QN_ATTN_ENTROPY] += row->entropy / log((double)n);
    }
    part->sums[QN_ATTN_MAX_LOGIT] = fmax(part->sums[QN_ATTN_MAX_LOGIT], row->max_logit);
    part->sums[QN_ATTN_P_MAX] += row->p_max;
    part->sums[QN_ATTN_DISTANCE] += row->distance;
    part->sums[QN_ATTN_SINK] += row->sink;
    part->sums[QN_ATTN_LOCAL] += row->local;
}

/* total += part, the maximum as a maximum. */
static inline void qn_attn_part_merge(qn_attn_part *total, const qn_attn_part *part) {
    for (int s = 0; s < QN_ATTN_N_SUMS; s++) {
        if (s == QN_ATTN_MAX_LOGIT)
            total->sums[s] = fmax(total->sums[s], part->sums[s]);
        else
            total->sums[s] += part->sums[s];
    }
    for (int c = 0; c < QN_ATTN_N_COUNTS; c++) total->counts[c] += part->counts[c];
}

/* Adds what was gathered for one head to the caller's arrays. */
static inline void qn_attn_part_deliver(const qn_attn_part *total, const qn_attn_stats *stats,
                                        int64_t head, int64_t n_heads) {
    for (int s = 0; s < QN_ATTN_N_SUMS; s++) {
        float *sum = &stats->sums[s * n_heads + head];
        if (s == QN_ATTN_MAX_LOGIT)
            *sum = fmaxf(*sum, (float)total->sums[s]);
        else
            *sum = (float)(*sum + total->sums[s]);
    }
    for (int c = 0; c < QN_ATTN_N_COUNTS; c++)
        stats->counts[c * n_heads + head] += total->counts[c];
}

#endif
