/* activities.h: the records that CUPTI delivers, kept until a trace is read. */
#ifndef QUERN_CUDA_ACTIVITIES_H
#define QUERN_CUDA_ACTIVITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/cupti.h"

/* A kernel, copy or memset that ran. */
typedef struct qn_activity {
    uint64_t begin, end;          /* ns on CUPTI's clock */
    uint32_t correlation;         /* of the call that launched it */
    uint32_t runtime_correlation; /* of a copy, by the runtime, which may have a number of its own;
                                     else 0, which is none */
    const char *name;             /* CUPTI's, of the kernel, mangled; or "memcpy", "memset" */
} qn_activity;

/* A call of the CUDA API in a range. */
typedef struct qn_api_call {
    uint32_t correlation;
    uint64_t range; /* as pushed */
} qn_api_call;

typedef struct qn_activities {
    const qn_cupti *cupti;
    bool kept; /* records that arrive are kept, else forgotten */
    qn_activity *ran;
    size_t n_ran, ran_capacity;
    qn_api_call *calls;
    size_t n_calls, calls_capacity;
    size_t lost; /* records of what ran that had no times, or for which there was no memory */
} qn_activities;

/* Lets CUPTI deliver its records here until the close; `cupti` outlives that. One at a time in a
 * process, else QN_CODE_UNSUPPORTED. */
qn_status qn_activities_open(qn_activities *, const qn_cupti *cupti);
void qn_activities_close(qn_activities *);

/* Forgets all; then keeps what is delivered, or no more. */
void qn_activities_begin(qn_activities *);
void qn_activities_end(qn_activities *);

#endif
