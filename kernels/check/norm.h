/* norm.h: is a call of a norm what ops.h says? The same for every backend, but for the dtype that
 * it stores. The workspace is the backend's to check. */
#ifndef QUERN_CHECK_NORM_H
#define QUERN_CHECK_NORM_H

#include "quern/ops.h"

typedef enum qn_norm_kind { QN_RMSNORM, QN_LAYERNORM } qn_norm_kind;

/* The operation's name in messages, e.g. "rmsnorm_backward". */
const char *qn_norm_forward_name(qn_norm_kind);
const char *qn_norm_backward_name(qn_norm_kind);

qn_status qn_check_norm_forward(const qn_norm_args *, qn_norm_kind, qn_dtype storage);
qn_status qn_check_norm_backward(const qn_norm_args *, qn_norm_kind, qn_dtype storage);

#endif
