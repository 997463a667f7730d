/* freeze.h: which parameters of a model train, and which stay as they are. */
#ifndef QUERN_TRAIN_FREEZE_H
#define QUERN_TRAIN_FREEZE_H

#include <stdbool.h>

#include "quern/options.h"
#include "quern/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* QN_FREEZE_QK: the projections to q and k with their biases, and the weights of the qk-norm. */
bool qn_is_frozen(qn_freeze freeze, const qn_param *param);

/* A run of elements of the flat parameter arrays. */
typedef struct qn_span {
    int64_t offset, count;
} qn_span;

/* The spans between frozen parameters, ascending, padding included: all that trains, in one span
 * where nothing is frozen. *spans is the caller's to free; there are at most params->count. */
qn_status qn_trained_spans(const qn_params *params, qn_freeze freeze, qn_span **spans, int *count);

/* Refuses, as QN_CODE_USAGE, models whose q and k cannot be frozen: GPT-2 has q, k and v in one
 * matrix. */
qn_status qn_freeze_check(const qn_config *config, qn_freeze freeze);

#ifdef __cplusplus
}
#endif
#endif
