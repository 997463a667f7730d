/* profile.h: a backend that times every operation of another one. */
#ifndef QUERN_PROFILE_H
#define QUERN_PROFILE_H

#include "quern/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_profile_entry {
    const char *op;
    int64_t calls;
    double seconds; /* between events before and after each call; on a GPU the host runs ahead,
                       so that its own time does not count */
    double flops;   /* operations of matrix products and attention (of the pairs that its masks
                       leave visible); 0 for the others */
    double bytes;   /* that the calls cannot do without: operands once in, results once out */
} qn_profile_entry;

/* Wraps `inner`, which outlives the wrapper; closing the wrapper leaves it open. */
qn_status qn_profile_open(qn_backend *inner, qn_backend **out);
qn_status qn_profile_reset(qn_backend *profile);
/* The *n operations called since, most time first; waits for them. The entries are the
 * profile's. */
qn_status qn_profile_read(qn_backend *profile, const qn_profile_entry **entries, int *n);

#ifdef __cplusplus
}
#endif
#endif
