#include "lens/pair_measure.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- vectors --------------------------------------------------------------------------------- */

void qn_centre(double *vectors, int64_t n_words, int64_t width) {
    for (int64_t i = 0; i < width; i++) {
        double sum = 0;
        for (int64_t w = 0; w < n_words; w++) sum += vectors[w * width + i];
        for (int64_t w = 0; w < n_words; w++) vectors[w * width + i] -= sum / (double)n_words;
    }
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

void qn_cosines(const qn_pair_set *pairs, const double *vectors, int64_t width, double *out) {
    for (int64_t i = 0; i < pairs->count; i++) {
        const double *a = vectors + pairs->items[i].a * width;
        const double *b = vectors + pairs->items[i].b * width;
        const double norms = sqrt(dot(a, a, width)) * sqrt(dot(b, b, width));
        out[i] = norms == 0 ? 0 : dot(a, b, width) / norms;
    }
}

/* ---- standard errors ------------------------------------------------------------------------- */

/* What a pair contributes to a statistic's deviation. */
typedef struct contribution {
    int32_t low, high; /* its words */
    double deviation;
} contribution;

static contribution contribution_of(qn_word_pair p, double deviation) {
    return p.a < p.b ? (contribution){p.a, p.b, deviation} : (contribution){p.b, p.a, deviation};
}

static int by_words(const void *x, const void *y) {
    const contribution *a = x, *b = y;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    return (a->high > b->high) - (a->high < b->high);
}

/* Σ over the same pair's contributions, squared. */
static double squares_of_pairs(contribution *all, int64_t n) {
    double squares = 0, sum = 0;
    qsort(all, (size_t)n, sizeof *all, by_words);
    for (int64_t i = 0; i < n; i++) {
        sum += all[i].deviation;
        if (i + 1 < n && by_words(&all[i], &all[i + 1]) == 0) continue;
        squares += sum * sum;
        sum = 0;
    }
    return squares;
}

/* A word's contributions, squared, have every two pairs that share it; the same pair twice is in
 * those of both its words. */
static qn_status error_of(contribution *all, int64_t n, int64_t n_words, double *error) {
    double *of_words = calloc((size_t)(n_words + 1), sizeof *of_words);
    if (!of_words) return qn_error(QN_CODE_MEMORY, "no memory for %lld words", (long long)n_words);
    double shared = 0;
    for (int64_t i = 0; i < n; i++) {
        of_words[all[i].low] += all[i].deviation;
        of_words[all[i].high] += all[i].deviation;
    }
    for (int64_t w = 0; w < n_words; w++) shared += of_words[w] * of_words[w];
    free(of_words);
    const double independent = squares_of_pairs(all, n), variance = shared - independent;
    *error = sqrt(variance > independent ? variance : independent);
    return QN_OK;
}

static qn_status allocate(int64_t n, contribution **out) {
    *out = malloc((size_t)(n + 1) * sizeof **out);
    return *out ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for %lld pairs", (long long)n);
}

/* ---- statistics ------------------------------------------------------------------------------ */

qn_status qn_pair_mean(const qn_pair_set *pairs, const double *values, int64_t n_words,
                       qn_measure *out) {
    const int64_t n = pairs->count;
    contribution *all;
    QN_TRY(allocate(n, &all));
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += values[i];
    out->value = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        all[i] = contribution_of(pairs->items[i], (values[i] - out->value) / (double)n);
    qn_status status = error_of(all, n, n_words, &out->error);
    free(all);
    return status;
}

static int by_value(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static bool all_finite(const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* How many of n sorted values are below x, those equal to it counting half. */
static double below(const double *sorted, int64_t n, double x) {
    int64_t ends[2]; /* of the values below x, and of those not above it */
    for (int equal = 0; equal < 2; equal++) {
        int64_t low = 0, high = n;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (sorted[middle] < x || (equal && sorted[middle] == x))
                low = middle + 1;
            else
                high = middle;
        }
        ends[equal] = low;
    }
    return 0.5 * (double)(ends[0] + ends[1]);
}

static double *sorted_copy(const double *values, int64_t n) {
    double *copy = malloc((size_t)(n + 1) * sizeof *copy);
    if (!copy) return NULL;
    memcpy(copy, values, (size_t)n * sizeof *copy);
    qsort(copy, (size_t)n, sizeof *copy, by_value);
    return copy;
}

/* Contributions are those of DeLong et al. 1988: of a pair, its share of the other set. */
static double compare(const qn_pair_set *x, const double *xs, const qn_pair_set *y,
                      const double *ys, const double *sorted_x, const double *sorted_y,
                      contribution *all) {
    const double n = (double)x->count, m = (double)y->count;
    double sum = 0;
    for (int64_t i = 0; i < x->count; i++) {
        const double share = below(sorted_y, y->count, xs[i]) / m;
        all[i] = contribution_of(x->items[i], share);
        sum += share;
    }
    const double auc = sum / n;
    for (int64_t i = 0; i < x->count; i++) all[i].deviation = (all[i].deviation - auc) / n;
    for (int64_t j = 0; j < y->count; j++) {
        const double share = 1 - below(sorted_x, x->count, ys[j]) / n;
        all[x->count + j] = contribution_of(y->items[j], (share - auc) / m);
    }
    return auc;
}

qn_status qn_pair_auc(const qn_pair_set *x, const double *xs, const qn_pair_set *y,
                      const double *ys, int64_t n_words, qn_measure *out) {
    const int64_t n = x->count + y->count;
    contribution *all;
    *out = (qn_measure){(double)NAN, (double)NAN};
    if (!all_finite(xs, x->count) || !all_finite(ys, y->count)) return QN_OK;
    QN_TRY(allocate(n, &all));
    double *sorted_x = sorted_copy(xs, x->count), *sorted_y = sorted_copy(ys, y->count);
    qn_status status = QN_OK;
    if (sorted_x && sorted_y) {
        out->value = compare(x, xs, y, ys, sorted_x, sorted_y, all);
        status = error_of(all, n, n_words, &out->error);
    } else {
        status = qn_error(QN_CODE_MEMORY, "no memory for %lld cosines", (long long)n);
    }
    free(sorted_x);
    free(sorted_y);
    free(all);
    return status;
}
