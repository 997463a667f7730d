/* metrics.c: measures of heads from the sums that attention makes. */
#include <math.h>

#include "quern/lens.h"

typedef struct reader {
    const qn_attn_stats *stats;
    int64_t n_heads, head;
} reader;

static double sum_of(const reader *r, int sum) {
    return (double)r->stats->sums[sum * r->n_heads + r->head];
}

static int64_t count_of(const reader *r, int count) {
    return r->stats->counts[count * r->n_heads + r->head];
}

static double mean(double sum, int64_t n) { return n ? sum / (double)n : (double)NAN; }

void qn_lens_metrics(const qn_attn_stats *stats, int64_t n_heads, int64_t layer, int64_t head,
                     qn_lens_figure out[QN_LENS_METRICS]) {
    const reader r = {stats, n_heads, head};
    const int64_t rows = count_of(&r, QN_ATTN_ROWS), wide = count_of(&r, QN_ATTN_ROWS_ENTROPY);
    const double none = (double)NAN;
    const qn_lens_figure figures[QN_LENS_METRICS] = {
        {layer, head, "entropy", mean(sum_of(&r, QN_ATTN_ENTROPY), wide), wide ? 1 : none, wide, 0,
         0},
        {layer, head, "max_logit", rows ? sum_of(&r, QN_ATTN_MAX_LOGIT) : none, none, rows, 0, 0},
        {layer, head, "p_max", mean(sum_of(&r, QN_ATTN_P_MAX), rows),
         mean(sum_of(&r, QN_ATTN_BASE_P_MAX), rows), rows, 0, 0},
        {layer, head, "distance", mean(sum_of(&r, QN_ATTN_DISTANCE), rows),
         mean(sum_of(&r, QN_ATTN_BASE_DISTANCE), rows), rows, 0, 0},
        {layer, head, "sink", mean(sum_of(&r, QN_ATTN_SINK), rows),
         mean(sum_of(&r, QN_ATTN_BASE_SINK), rows), rows, 0, 0},
        {layer, head, "local", mean(sum_of(&r, QN_ATTN_LOCAL), rows),
         mean(sum_of(&r, QN_ATTN_BASE_LOCAL), rows), rows, 0, 0},
    };
    for (int i = 0; i < QN_LENS_METRICS; i++) {
        out[i] = figures[i];
        out[i].at = -1;
        out[i].error = none;
    }
}
