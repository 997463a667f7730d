/* attention_floor.h: the least time that a pass of attention can take on a device, from the peak
 * of its matrix units and the speed of its memory. */
#ifndef QUERN_CLI_ATTENTION_FLOOR_H
#define QUERN_CLI_ATTENTION_FLOOR_H

#include "cli/attention_problem.h"

/* 0 where nothing is known. `how`: "measured", "of the data sheet" or "unknown". */
typedef struct qn_ceilings {
    double flops_per_s, bytes_per_s;
    const char *flops_how, *bytes_how;
} qn_ceilings;

/* Measures copies on the device, and the backend's matrix product where it has one; the peak of
 * a known GPU is taken from its data sheet otherwise. */
qn_status qn_ceilings_find(qn_backend *backend, const qn_device_info *device, qn_ceilings *out);

/* Operations and bytes that a pass cannot do without. Fused: the pairs that the mask leaves, and
 * each tensor once. Naive: all T² pairs, and each score as its matrix products and its softmax
 * write and read it: forward 2 times in fp32 and 2 times in the storage dtype, backward 4 and 5
 * times. Seconds: the longer of the two; 0 where a ceiling is unknown. */
typedef struct qn_floor {
    double flops, bytes, seconds;
} qn_floor;

qn_floor qn_attention_floor(const qn_attention_problem *problem, bool backward, bool naive,
                            const qn_ceilings *ceilings);

#endif
