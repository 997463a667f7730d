#include "lens/rotation.h"

#include <math.h>
#include <stdlib.h>

qn_status qn_rotation_make(const qn_plan *plan, qn_rotation *out) {
    const int64_t T = plan->options.seq_len, D = plan->config.head_dim, half = D / 2;
    *out = (qn_rotation){.head_dim = D};
    if (plan->config.arch == QN_ARCH_GPT2) return QN_OK;
    out->turns = malloc((size_t)(T * D) * sizeof *out->turns);
    if (!out->turns)
        return qn_error(QN_CODE_MEMORY, "no memory for the angles of %lld positions", (long long)T);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < half; i++) {
            const double angle =
                (double)t * pow(plan->config.rope_theta, -2.0 * (double)i / (double)D);
            out->turns[t * D + i] = cos(angle);
            out->turns[t * D + half + i] = sin(angle);
        }
    }
    return QN_OK;
}

void qn_rotation_free(qn_rotation *r) {
    free(r->turns);
    *r = (qn_rotation){0};
}

/* Cosines, and half a head_dim behind them sines. */
static const double *turns_at(const qn_rotation *r, int64_t position) {
    return r->turns + position * r->head_dim;
}

void qn_rotation_undo(const qn_rotation *r, int64_t position, float *x) {
    const int64_t half = r->head_dim / 2;
    if (!r->turns) return;
    const double *c = turns_at(r, position), *s = c + half;
    for (int64_t i = 0; i < half; i++) {
        const double first = (double)x[i], second = (double)x[half + i];
        x[i] = (float)(first * c[i] + second * s[i]);
        x[half + i] = (float)(second * c[i] - first * s[i]);
    }
}

void qn_rotation_add_undone(const qn_rotation *r, int64_t position, const float *x, double *sum) {
    const int64_t half = r->head_dim / 2;
    if (!r->turns) {
        for (int64_t i = 0; i < r->head_dim; i++) sum[i] += (double)x[i];
        return;
    }
    const double *c = turns_at(r, position), *s = c + half;
    for (int64_t i = 0; i < half; i++) {
        sum[i] += (double)x[i] * c[i] + (double)x[half + i] * s[i];
        sum[half + i] += (double)x[half + i] * c[i] - (double)x[i] * s[i];
    }
}
