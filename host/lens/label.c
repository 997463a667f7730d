/* label.c: names for heads. */
#include "quern/label.h"

#include <math.h>

/* A value that is no number reaches nothing, nor does a figure that is not there. */
static bool reaches(const qn_lens_figure *f) {
    return f && isfinite(f->value) && f->value >= QN_LABEL_THRESHOLD;
}

qn_head_label qn_label_head(const qn_lens_figures *figures, int64_t layer, int64_t head,
                            int64_t *at) {
    const qn_lens_figure *offset = qn_lens_find(figures, "offset", layer, head);
    if (at) *at = -1;
    if (reaches(qn_lens_find(figures, "induction", layer, head))) return QN_LABEL_INDUCTION;
    if (reaches(qn_lens_find(figures, "previous_token", layer, head)))
        return QN_LABEL_PREVIOUS_TOKEN;
    if (!reaches(offset)) return QN_LABEL_NONE;
    if (at) *at = offset->at;
    return QN_LABEL_OFFSET;
}

const char *qn_label_name(qn_head_label label) {
    static const char *const names[] = {"none", "previous-token", "induction", "offset"};
    return names[label];
}
