/* figures.c: a list of measures. */
#include <stdlib.h>
#include <string.h>

#include "quern/lens.h"

qn_status qn_lens_add(qn_lens_figures *figures, qn_lens_figure figure) {
    if (figures->count == figures->capacity) {
        const int64_t capacity = figures->capacity ? 2 * figures->capacity : 64;
        qn_lens_figure *items = realloc(figures->items, (size_t)capacity * sizeof *items);
        if (!items)
            return qn_error(QN_CODE_MEMORY, "no memory for %lld measures", (long long)capacity);
        figures->items = items;
        figures->capacity = capacity;
    }
    figures->items[figures->count++] = figure;
    return QN_OK;
}

const qn_lens_figure *qn_lens_find(const qn_lens_figures *figures, const char *metric,
                                   int64_t layer, int64_t head) {
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (f->layer == layer && f->head == head && !strcmp(f->metric, metric)) return f;
    }
    return NULL;
}

const qn_lens_figure *qn_lens_strongest(const qn_lens_figures *figures, const char *metric,
                                        int64_t layer) {
    const qn_lens_figure *best = NULL;
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (strcmp(f->metric, metric) || (layer >= 0 && f->layer != layer)) continue;
        if (!best || f->value > best->value) best = f;
    }
    return best;
}

void qn_lens_figures_free(qn_lens_figures *figures) {
    free(figures->items);
    *figures = (qn_lens_figures){0};
}
