/* adamw.h: are the arguments of the optimizer's update what ops.h says? */
#ifndef QUERN_CHECK_ADAMW_H
#define QUERN_CHECK_ADAMW_H

#include "quern/ops.h"

/* For a backend that stores this dtype; with fp32 there is no working copy. */
qn_status qn_check_adamw(const qn_adamw_args *, qn_dtype storage);

#endif
