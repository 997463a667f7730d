/* no_trace.h: the trace of a backend that has none. */
#ifndef QUERN_CHECK_NO_TRACE_H
#define QUERN_CHECK_NO_TRACE_H

#include "quern/ops.h"

qn_status qn_no_trace_open(qn_backend *, qn_trace **out);

#endif
