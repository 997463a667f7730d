/* fit.h: options with which a plan that does not fit in memory would. */
#ifndef QUERN_FIT_H
#define QUERN_FIT_H

#include "quern/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_fit_choice {
    qn_plan_options options;
    size_t bytes; /* that a plan with them has in all */
} qn_fit_choice;

enum {
    QN_FIT_CHOICES = 2,
    QN_FIT_SHORTEST = 128, /* tokens; shorter sequences are not proposed */
    QN_FIT_TEXT = 512,     /* holds what qn_fit_describe writes */
};

typedef struct qn_fit {
    qn_fit_choice choices[QN_FIT_CHOICES]; /* that fit, the nearest to the plan first */
    int count;                             /* 0: nothing that was tried fits */
    qn_fit_choice least;                   /* then the smallest that was tried */
    size_t state_bytes;                    /* parameters, gradients, moments: of every choice */
} qn_fit;

/* Looks for what fits in `memory` bytes, near a plan that does not, by planning; allocates nothing.
 * In training it first tries, each by itself, more recomputation and a smaller batch; then both;
 * then shorter sequences too. As a batch or a sequence becomes smaller the accumulation of
 * gradients grows, so that a step keeps its tokens, but where a length is odd or 2^31 micro-steps
 * would be passed. Other modes know neither recomputation nor accumulation. */
qn_status qn_fit_find(qn_backend *backend, const qn_params *params, const qn_plan *plan,
                      size_t memory, qn_fit *out);

/* What was found as flags with figures, e.g. "with --recompute block it needs 11.20 GB, with
 * --batch-size 2 --grad-accum 8 9.80 GB", or that the model is too large. Returns `text`. */
const char *qn_fit_describe(const qn_fit *fit, const qn_plan *plan, char text[QN_FIT_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
