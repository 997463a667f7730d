/* attention_measure.h: times the implementations of attention on one problem, and checks what
 * they compute. */
#ifndef QUERN_CLI_ATTENTION_MEASURE_H
#define QUERN_CLI_ATTENTION_MEASURE_H

#include "cli/attention_floor.h"

typedef enum qn_variant {
    QN_VARIANT_NAIVE,
    QN_VARIANT_FUSED,
    QN_VARIANT_STATS, /* fused, with statistics; forward only */
    QN_VARIANTS
} qn_variant;

typedef struct qn_measure_options {
    bool stats;
    int64_t repeats;
    double max_naive_bytes; /* naive is left out where its workspace would be larger */
    size_t clear_bytes;     /* set to 0 before each timed call, so that caches are cold; 0: none */
} qn_measure_options;

typedef struct qn_figures {
    bool run;
    size_t workspace; /* bytes */
    double seconds;   /* median */
    double *times;    /* of the repeats, ascending */
    qn_attention_error error;
    qn_floor floor;
} qn_figures;

/* One pass of one problem. */
typedef struct qn_pass {
    bool backward;
    double flops;
    qn_figures of[QN_VARIANTS];
    double *times;
} qn_pass;

/* Released by qn_pass_free, failure included. A backward pass makes its o and lse first. */
qn_status qn_pass_measure(qn_attention_problem *problem, bool backward,
                          const qn_measure_options *options, const qn_ceilings *ceilings,
                          qn_pass *out);
void qn_pass_free(qn_pass *pass);

#endif
