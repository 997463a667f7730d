/* attention_floor.h: the least time that a pass of attention can take on a device, from the peak
 * of its matrix units and the speed of its memory. */
#ifndef QUERN_CLI_ATTENTION_FLOOR_H
#define QUERN_CLI_ATTENTION_FLOOR_H

#include "cli/attention_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 0 where nothing is known. `how`: "measured", "of the data sheet" or "unknown". */
typedef struct qn_ceilings {
    double flops_per_s, bytes_per_s;
    const char *flops_how, *bytes_how;
} qn_ceilings;

/* Measures copies on the device, and the backend's matrix product where it has one; the peak of
 * a known GPU is taken from its data sheet otherwise. */
qn_status qn_ceilings_find(qn_backend *backend, const qn_device_info *device, qn_ceilings *out);

/* Operations and bytes that a pass cannot do without, given its algorithm. Of D elements a head,
 * N = B·Hq·T² scores, of which the mask leaves V, and s bytes an element of the storage dtype:
 *
 *   fused forward    4·D·V operations; bytes: each tensor once
 *   fused backward  10·D·V operations; bytes: each tensor once
 *   naive forward    4·D·N operations; bytes: each tensor once, and
 *                    4·N for S that its product writes, 4·V for what the softmax reads of it,
 *                    s·N for P that it writes, zeros included, s·N for P as P·v reads it
 *   naive backward  10·D·N operations; bytes: each tensor once, and
 *                    8·N for S and dP, 8·V for what the softmax's gradient reads of them,
 *                    2s·N for P and dS that it writes, 3s·N for P that dv reads and dS that dq
 *                    and dk read
 *
 * Where only causality hides, fused counts V as everyone does, B·Hq·T²/2. Seconds: the longer of
 * the two; 0 where a ceiling is unknown. */
typedef struct qn_floor {
    double flops, bytes, seconds;
} qn_floor;

qn_floor qn_attention_floor(const qn_attention_problem *problem, bool backward, bool naive,
                            const qn_ceilings *ceilings);

#ifdef __cplusplus
}
#endif

#endif
