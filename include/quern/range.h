/* range.h: what a profiler's timeline calls the work of a statement. */
#ifndef QUERN_RANGE_H
#define QUERN_RANGE_H

#include "quern/ops.h"

/* Runs `expr`, which gives a qn_status, in a range of the backend; returns from the calling
 * function when it fails. */
#define QN_TRY_IN(backend, name, expr)                                                             \
    do {                                                                                           \
        (backend)->ops->range_begin(backend, name);                                                \
        qn_status qn_in_range_ = (expr);                                                           \
        (backend)->ops->range_end(backend);                                                        \
        if (qn_in_range_) return qn_in_range_;                                                     \
    } while (0)

#endif
