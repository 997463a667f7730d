/* invariants.h: what must hold whatever a model has learnt (T5), a file a subject. */
#ifndef QUERN_PLANTED_INVARIANTS_H
#define QUERN_PLANTED_INVARIANTS_H

#include <math.h>

#include "planted/copying.h"

enum { T5 = 5 };

/* The larger of two; not a number where one of them is not, unlike fmax, so that a figure that is
 * missing or broken fails a check. */
static inline double qn_worse(double a, double b) { return isnan(a) || a > b ? a : b; }

/* A small untrained model on T1's task. */
qn_status qn_untrained(const qn_garden *garden, qn_plan_mode mode, qn_trained *out);

/* Multiplies a parameter of every layer. */
qn_status qn_scale_role(qn_model *model, qn_role role, float factor);

/* Figures of attention where it is uniform, and where it is one-hot. */
qn_status qn_check_extremes(qn_garden *garden);
/* Statistics change no bit of what attention gives, and of a training. */
qn_status qn_check_bits(qn_garden *garden);
/* Scores depend on the distance of two tokens and not on their place. */
qn_status qn_check_shift(qn_garden *garden);
/* q times c and k over c changes norms alone. */
qn_status qn_check_gauge(qn_garden *garden);

#endif
