/* label.c: names for heads. */
#include "quern/label.h"

#include <math.h>
#include <string.h>

/* NULL when the head has no such figure, or none over anything. */
static const qn_lens_figure *find(const qn_lens_figures *figures, int64_t layer, int64_t head,
                                  const char *metric) {
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (f->layer == layer && f->head == head && !strcmp(f->metric, metric))
            return isfinite(f->value) ? f : NULL;
    }
    return NULL;
}

static bool reaches(const qn_lens_figure *f) { return f && f->value >= QN_LABEL_THRESHOLD; }

qn_head_label qn_label_head(const qn_lens_figures *figures, int64_t layer, int64_t head,
                            int64_t *at) {
    const qn_lens_figure *offset = find(figures, layer, head, "offset");
    if (at) *at = -1;
    if (reaches(find(figures, layer, head, "induction"))) return QN_LABEL_INDUCTION;
    if (reaches(find(figures, layer, head, "previous_token"))) return QN_LABEL_PREVIOUS_TOKEN;
    if (!reaches(offset)) return QN_LABEL_NONE;
    if (at) *at = offset->at;
    return QN_LABEL_OFFSET;
}

const char *qn_label_name(qn_head_label label) {
    static const char *const names[] = {"none", "previous-token", "induction", "offset"};
    return names[label];
}
