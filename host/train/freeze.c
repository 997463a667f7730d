#include "train/freeze.h"

#include <stdlib.h>

static qn_param_part run_of(int64_t offset, int64_t count) {
    return (qn_param_part){.offset = offset, .rows = count > 0, .count = count, .stride = count};
}

qn_param_part qn_frozen_part(qn_freeze freeze, const qn_param *param) {
    const qn_param_part none = {.offset = param->offset};
    if (freeze != QN_FREEZE_QK) return none;
    switch (param->role) {
    case QN_Q_W:
    case QN_K_W:
    case QN_Q_B:
    case QN_K_B:
    case QN_Q_NORM_W:
    case QN_K_NORM_W:
        return run_of(param->offset, param->count);
    case QN_QKV_B:
        return run_of(param->offset, param->count / 3 * 2);
    case QN_QKV_W:
        return (qn_param_part){.offset = param->offset,
                               .rows = param->shape[0],
                               .count = param->shape[1] / 3 * 2,
                               .stride = param->shape[1]};
    default:
        return none;
    }
}

qn_param_part qn_trained_part(qn_freeze freeze, const qn_param *param) {
    const qn_param_part frozen = qn_frozen_part(freeze, param);
    if (frozen.rows <= 1) return run_of(frozen.offset + frozen.count, param->count - frozen.count);
    return (qn_param_part){.offset = frozen.offset + frozen.count,
                           .rows = frozen.rows,
                           .count = frozen.stride - frozen.count,
                           .stride = frozen.stride};
}

qn_status qn_trained_parts(const qn_params *params, qn_freeze freeze, qn_param_part **parts,
                           int *count) {
    *count = 0;
    *parts = calloc((size_t)params->count + 1, sizeof **parts);
    if (!*parts)
        return qn_error(QN_CODE_MEMORY, "no memory for the parts of %d parameters", params->count);
    int64_t begin = 0;
    for (int i = 0; i < params->count; i++) {
        const qn_param *p = &params->items[i];
        const qn_param_part frozen = qn_frozen_part(freeze, p);
        if (!frozen.rows) continue;
        if (p->offset > begin) (*parts)[(*count)++] = run_of(begin, p->offset - begin);
        if (frozen.rows > 1) (*parts)[(*count)++] = qn_trained_part(freeze, p);
        begin = p->offset + (frozen.rows > 1 ? p->count : frozen.count);
    }
    if (params->n_elements > begin)
        (*parts)[(*count)++] = run_of(begin, params->n_elements - begin);
    return QN_OK;
}
