/* plan_json.h: a plan and whether it fits, for other programs. */
#ifndef QUERN_CLI_PLAN_JSON_H
#define QUERN_CLI_PLAN_JSON_H

#include "quern/fit.h"

typedef struct qn_planned {
    const char *model, *device; /* as the user named them; not owned */
    qn_plan plan;
    int64_t n_params;
    double flops_per_token;
    size_t memory; /* bytes to fit in */
    bool fits;
    qn_fit fit; /* where it does not */
} qn_planned;

/* Writes one object to the file `path`. All sizes are bytes. */
qn_status qn_plan_json_write(const qn_planned *planned, const char *path);

#endif
