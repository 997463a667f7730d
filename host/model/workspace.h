/* workspace.h: the scratch memory that the operations of a plan ask a backend for. */
#ifndef QUERN_MODEL_WORKSPACE_H
#define QUERN_MODEL_WORKSPACE_H

#include "quern/plan.h"

/* The most bytes that any operation asks for, of a plan whose config and options are set;
 * SIZE_MAX where no memory would suffice. */
size_t qn_workspace_bytes(const qn_plan *plan, qn_backend *backend);

/* Rows of logits that a plan keeps at a time (logits.c); 0: it has none. */
int64_t qn_logit_rows(const qn_plan_options *options);

#endif
