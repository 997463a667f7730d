/* copying.h: tokens that come twice, and how well a model copies them (T1, T2, T5). */
#ifndef QUERN_PLANTED_COPYING_H
#define QUERN_PLANTED_COPYING_H

#include "planted/experiment.h"

enum { QN_COPY_WORDS = 64, QN_COPY_BOS = QN_COPY_WORDS, QN_COPY_VOCAB };

/* BOS, P distinct words, the same again, then words at random; P uniform in
 * least_period … most_period. */
qn_task qn_copying_task(int64_t seq_len, int32_t least_period, int32_t most_period);

/* T1's, at periods of 8 … 30. */
qn_task qn_copier_task(void);

/* Share of the words of second copies, but the first, that the model predicts. */
qn_status qn_copy_accuracy(qn_model *model, const qn_task *task, uint64_t seed, double *out);

/* T1's model of `n_layers`, trained. */
qn_status qn_plant_copier(qn_garden *garden, int64_t n_layers, qn_trained *out);

/* The patterns of heads on words at random. */
qn_status qn_copy_patterns(qn_model *model, uint64_t seed, qn_lens_figures *out);

#endif
