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
    double seconds; /* each call by itself: the stream is waited for before and after */
    double flops;   /* operations of matrix products and attention (of the pairs that its masks
                       leave visible); 0 for the others */
} qn_profile_entry;

/* Wraps `inner`, which outlives the wrapper; closing the wrapper leaves it open. */
qn_status qn_profile_open(qn_backend *inner, qn_backend **out);
void qn_profile_reset(qn_backend *profile);
/* The operations called since, most time first; gives their number. The entries are the
 * profile's. */
int qn_profile_read(qn_backend *profile, const qn_profile_entry **entries);

#ifdef __cplusplus
}
#endif
#endif
