/* schedule.h: the learning rate over a run. */
#ifndef QUERN_SCHEDULE_H
#define QUERN_SCHEDULE_H

#include "quern/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The rate of a step, from 1. It rises linearly over the warmup; then falls, to reach
 * min_lr·lr just after the last step, along a half cosine, or stays and falls linearly in the last
 * `decay` of the steps (WSD, Hu et al. 2404.06395), or stays. */
double qn_learning_rate(const qn_train_options *options, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
