/* precision.h: what dtypes a plan may have on a backend. */
#ifndef QUERN_MODEL_PRECISION_H
#define QUERN_MODEL_PRECISION_H

#include "quern/plan.h"

/* The compute and storage dtypes exist, go together, and the backend stores the latter. */
qn_status qn_check_dtypes(qn_backend *backend, const qn_plan_options *options);

#endif
