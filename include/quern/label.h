/* label.h: what a head is called, by the figures of qn_probe_patterns. */
#ifndef QUERN_LABEL_H
#define QUERN_LABEL_H

#include "quern/lens.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_head_label {
    QN_LABEL_NONE,
    QN_LABEL_PREVIOUS_TOKEN, /* reads the token before it */
    QN_LABEL_INDUCTION,      /* reads what followed the last occurrence of the token it is at */
    QN_LABEL_OFFSET,         /* reads at one other distance, whatever stands there */
} qn_head_label;

/* A head is called what it does with at least this share of its weight; conventions of quern.
 * Previous-token and induction heads of small models have 0.6 and more, those of pretrained ones
 * 0.3 and more (Olsson et al. 2209.11895 draw all scores and no line). An induction head reads at
 * distances that the period decides, so a head at one distance is none: `offset` is measured on
 * tokens that do not repeat, `induction` at random periods. */
#define QN_LABEL_THRESHOLD 0.3

/* The label of a head by its figures among `figures`; QN_LABEL_NONE where there are none. *at
 * (nullable) is the distance of an offset, else −1. */
qn_head_label qn_label_head(const qn_lens_figures *figures, int64_t layer, int64_t head,
                            int64_t *at);

/* "previous-token", "induction", "offset", "none". */
const char *qn_label_name(qn_head_label label);

#ifdef __cplusplus
}
#endif
#endif
