/* freeze.h: which parameters of a model train, and which stay as they are. */
#ifndef QUERN_TRAIN_FREEZE_H
#define QUERN_TRAIN_FREEZE_H

#include "quern/options.h"
#include "quern/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of the flat parameter arrays, `count` elements each, `stride` apart; nothing where rows
 * is 0. */
typedef struct qn_param_part {
    int64_t offset, rows, count, stride;
} qn_param_part;

/* What of a parameter stays, and the rest of it. QN_FREEZE_QK: the projections to q and k with
 * their biases, and the weights of the qk-norm. Where q, k and v are the columns of one matrix,
 * what is frozen are its first two thirds. */
qn_param_part qn_frozen_part(qn_freeze freeze, const qn_param *param);
qn_param_part qn_trained_part(qn_freeze freeze, const qn_param *param);

/* The parts between what is frozen, ascending, padding included: all that trains, in one part of
 * one row where nothing is frozen. *parts is the caller's to free; there are at most
 * params->count. */
qn_status qn_trained_parts(const qn_params *params, qn_freeze freeze, qn_param_part **parts,
                           int *count);

#ifdef __cplusplus
}
#endif
#endif
