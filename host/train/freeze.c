#include "train/freeze.h"

#include <stdlib.h>

static bool makes_q_or_k(qn_role role) {
    return role == QN_Q_W || role == QN_K_W || role == QN_Q_B || role == QN_K_B ||
           role == QN_Q_NORM_W || role == QN_K_NORM_W;
}

bool qn_is_frozen(qn_freeze freeze, const qn_param *param) {
    return freeze == QN_FREEZE_QK && makes_q_or_k(param->role);
}

qn_status qn_trained_spans(const qn_params *params, qn_freeze freeze, qn_span **spans, int *count) {
    *count = 0;
    *spans = calloc((size_t)params->count + 1, sizeof **spans);
    if (!*spans)
        return qn_error(QN_CODE_MEMORY, "no memory for the spans of %d parameters", params->count);
    int64_t begin = 0;
    for (int i = 0; i <= params->count; i++) {
        const bool ends = i == params->count;
        if (!ends && !qn_is_frozen(freeze, &params->items[i])) continue;
        const int64_t end = ends ? params->n_elements : params->items[i].offset;
        if (end > begin) (*spans)[(*count)++] = (qn_span){begin, end - begin};
        if (!ends) begin = end + params->items[i].count;
    }
    return QN_OK;
}

qn_status qn_freeze_check(const qn_config *config, qn_freeze freeze) {
    if (freeze == QN_FREEZE_NONE || config->arch != QN_ARCH_GPT2) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--freeze is qk, but a %s has q, k and v in one matrix, c_attn, which trains "
                    "as a whole: say --freeze none, or take a model of the Llama family",
                    config->architecture);
}
