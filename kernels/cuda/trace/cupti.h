/* cupti.h: NVIDIA's library of tracing, found when a trace is opened: the program itself links
 * nothing of it. */
#ifndef QUERN_CUDA_CUPTI_H
#define QUERN_CUDA_CUPTI_H

#include <cupti.h>

#include "quern/status.h"

/* Each function that is used, by the name it has in the library. */
#define QN_CUPTI_FUNCTIONS(F)                                                                      \
    F(GetVersion)                                                                                  \
    F(GetResultString)                                                                             \
    F(GetTimestamp)                                                                                \
    F(ActivityRegisterCallbacks)                                                                   \
    F(ActivityEnable)                                                                              \
    F(ActivityDisable)                                                                             \
    F(ActivityFlushAll)                                                                            \
    F(ActivityGetNextRecord)                                                                       \
    F(ActivityGetNumDroppedRecords)                                                                \
    F(ActivityPushExternalCorrelationId)                                                           \
    F(ActivityPopExternalCorrelationId)

typedef struct qn_cupti {
    void *library;
#define QN_CUPTI_MEMBER(name) __typeof__(&cupti##name) name;
    QN_CUPTI_FUNCTIONS(QN_CUPTI_MEMBER)
#undef QN_CUPTI_MEMBER
} qn_cupti;

/* QN_CODE_UNSUPPORTED when the library is not there, or older than this build's headers. It stays
 * in memory to the end of the process: CUPTI calls back when the process ends. */
qn_status qn_cupti_open(qn_cupti *cupti);

/* "<what was attempted>: CUPTI_ERROR_X; what to do". */
qn_status qn_cupti_error(const qn_cupti *cupti, CUptiResult error, const char *attempted)
    __attribute__((returns_nonnull));

/* Returns from the calling function when a call of the library fails. */
#define QN_CUPTI_TRY(cupti, call, attempted)                                                       \
    do {                                                                                           \
        const CUptiResult error_ = (call);                                                         \
        if (error_) return qn_cupti_error(cupti, error_, attempted);                               \
    } while (0)

#endif
