/* adamw.h: what of AdamW's update depends on the step alone. */
#ifndef QUERN_ADAMW_H
#define QUERN_ADAMW_H

#include <math.h>

#include "quern/ops.h"

/* The bias corrections of Kingma & Ba 1412.6980, algorithm 1, folded into rate and scale; in fp64,
 * as 1 − beta2^step has few digits in the first steps. step from 1. */
static inline qn_adamw_rate qn_adamw_rate_of(float lr, float beta1, float beta2, int64_t step) {
    const double t = (double)step;
    qn_adamw_rate rate;
    rate.step = step;
    rate.lr = lr;
    rate.corrected = (float)((double)lr / (1 - pow((double)beta1, t)));
    rate.root_scale = (float)(1 / sqrt(1 - pow((double)beta2, t)));
    return rate;
}

#endif
