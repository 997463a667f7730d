/* rotation.h: q and k as they were before rotary positions (2104.09864). */
#ifndef QUERN_LENS_ROTATION_H
#define QUERN_LENS_ROTATION_H

#include "quern/plan.h"

/* Angles of every position of a plan; `turns` is NULL for models without rotary positions. */
typedef struct qn_rotation {
    int64_t head_dim;
    double *turns; /* (seq_len, head_dim) cos in the first half of the columns, sin in the other */
} qn_rotation;

qn_status qn_rotation_make(const qn_plan *plan, qn_rotation *out);
void qn_rotation_free(qn_rotation *rotation);

/* Turns a head's vector x (head_dim) at a position back. */
void qn_rotation_undo(const qn_rotation *rotation, int64_t position, float *x);

/* Adds a head's vector x at a position, turned back, to sum; (head_dim) each. */
void qn_rotation_add_undone(const qn_rotation *rotation, int64_t position, const float *x,
                            double *sum);

#endif
