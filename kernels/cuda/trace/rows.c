#include "trace/rows.h"

#include <stdlib.h>
#include <string.h>

#include "trace/kernel_name.h"

/* ---- whose what ran is ----------------------------------------------------------------------- */

static int by_correlation(const void *a, const void *b) {
    const uint32_t x = ((const qn_api_call *)a)->correlation;
    const uint32_t y = ((const qn_api_call *)b)->correlation;
    return (x > y) - (x < y);
}

static uint64_t range_of_call(const qn_activities *a, uint32_t correlation) {
    const qn_api_call key = {correlation, 0};
    const qn_api_call *call =
        a->n_calls ? bsearch(&key, a->calls, a->n_calls, sizeof key, by_correlation) : NULL;
    return call ? call->range : 0;
}

static const char *op_of(const qn_activities *a, const qn_activity *ran, const char *const *ranges,
                         size_t n_ranges) {
    uint64_t range = range_of_call(a, ran->correlation);
    if (!range && ran->runtime_correlation) range = range_of_call(a, ran->runtime_correlation);
    return range && range <= n_ranges ? ranges[range - 1] : NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int by_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : ""); }

static int by_kernel_and_op(const void *a, const void *b) {
    const qn_trace_row *x = a, *y = b;
    const int kernels = by_text(x->kernel, y->kernel);
    return kernels ? kernels : by_text(x->op, y->op);
}

static int by_time(const void *a, const void *b) {
    const qn_trace_row *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds ? 1 : -1) : by_kernel_and_op(a, b);
}

static void free_name(const qn_trace_row *row) { free((char *)(uintptr_t)row->kernel); }

/* Makes one row of those that are for the same work; returns how many are left. */
static size_t merge(qn_trace_row *rows, size_t count, bool own_names) {
    size_t n = 0;
    if (count) qsort(rows, count, sizeof *rows, by_kernel_and_op);
    for (size_t i = 0; i < count; i++) {
        if (n == 0 || by_kernel_and_op(&rows[n - 1], &rows[i]) != 0) {
            rows[n++] = rows[i];
            continue;
        }
        rows[n - 1].launches += rows[i].launches;
        rows[n - 1].seconds += rows[i].seconds;
        if (own_names) free_name(&rows[i]);
    }
    return n;
}

/* Gives each row a name of its own, short. */
static qn_status shorten(qn_trace_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char *name = qn_kernel_name(rows[i].kernel);
        if (!name) {
            while (i > 0) free_name(&rows[--i]);
            return qn_error(QN_CODE_MEMORY, "no host memory for the names of kernels");
        }
        rows[i].kernel = name;
    }
    return QN_OK;
}

qn_status qn_trace_rows_make(qn_activities *a, const char *const *ranges, size_t n_ranges,
                             qn_trace_rows *out) {
    *out = (qn_trace_rows){0};
    qn_trace_row *rows = malloc(a->n_ran * sizeof *rows + 1);
    if (!rows) return qn_error(QN_CODE_MEMORY, "no host memory for %zu rows of a trace", a->n_ran);
    if (a->n_calls) qsort(a->calls, a->n_calls, sizeof *a->calls, by_correlation);
    for (size_t i = 0; i < a->n_ran; i++) {
        const qn_activity *ran = &a->ran[i];
        rows[i] = (qn_trace_row){ran->name ? ran->name : "unnamed", op_of(a, ran, ranges, n_ranges),
                                 1, 1e-9 * (double)(ran->end - ran->begin)};
    }
    size_t count = merge(rows, a->n_ran, false);
    qn_status status = shorten(rows, count);
    if (status) {
        free(rows);
        return status;
    }
    count = merge(rows, count, true); /* instances of a template have one short name */
    if (count) qsort(rows, count, sizeof *rows, by_time);
    *out = (qn_trace_rows){rows, (int)count};
    return QN_OK;
}

void qn_trace_rows_free(qn_trace_rows *rows) {
    for (int i = 0; i < rows->count; i++) free_name(&rows->items[i]);
    free(rows->items);
    *rows = (qn_trace_rows){0};
}

/* ---- busy ------------------------------------------------------------------------------------ */

static int by_begin(const void *a, const void *b) {
    const uint64_t x = ((const qn_activity *)a)->begin, y = ((const qn_activity *)b)->begin;
    return (x > y) - (x < y);
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

uint64_t qn_busy_time(qn_activities *a, uint64_t begin, uint64_t end) {
    uint64_t busy = 0, covered = begin; /* up to there */
    if (a->n_ran) qsort(a->ran, a->n_ran, sizeof *a->ran, by_begin);
    for (size_t i = 0; i < a->n_ran; i++) {
        const uint64_t from = later(a->ran[i].begin, covered);
        const uint64_t to = a->ran[i].end < end ? a->ran[i].end : end;
        if (to > from) busy += to - from;
        covered = later(covered, to);
    }
    return busy;
}
