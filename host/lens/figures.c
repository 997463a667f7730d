/* figures.c: a list of measures. */
#include <stdlib.h>

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

void qn_lens_figures_free(qn_lens_figures *figures) {
    free(figures->items);
    *figures = (qn_lens_figures){0};
}
