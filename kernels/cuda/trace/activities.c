/* activities.c: CUPTI's buffers, and what is read from them. CUPTI asks for buffers and hands them
 * back from threads of its own, also in the middle of a call of CUDA. */
#include "trace/activities.h"

#include <pthread.h>
#include <stdlib.h>

/* CUPTI's callbacks are given nothing of ours, and a process has one CUPTI: this is how they find
 * what to fill. The lock holds for what it points to as well. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static qn_activities *filled;

/* ---- records -------------------------------------------------------------------------------- */

/* Makes room for one more of `size` bytes. */
static bool make_room(void **items, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) return true;
    const size_t wanted = *capacity ? 2 * *capacity : 4096;
    void *more = wanted > SIZE_MAX / size ? NULL : realloc(*items, wanted * size);
    if (!more) return false;
    *items = more;
    *capacity = wanted;
    return true;
}

/* Times of 0 are CUPTI's way to say that it had no device memory for them. */
static void keep_activity(qn_activities *a, qn_activity ran) {
    if (ran.begin == 0 || ran.end < ran.begin ||
        !make_room((void **)&a->ran, &a->ran_capacity, a->n_ran, sizeof *a->ran)) {
        a->lost++;
        return;
    }
    a->ran[a->n_ran++] = ran;
}

static void keep_call(qn_activities *a, const CUpti_ActivityExternalCorrelation *record) {
    if (record->externalKind != CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0) return;
    if (!make_room((void **)&a->calls, &a->calls_capacity, a->n_calls, sizeof *a->calls)) {
        a->lost++;
        return;
    }
    a->calls[a->n_calls++] = (qn_api_call){record->correlationId, record->externalId};
}

/* Later versions of a record begin with the members of these. */
static void keep(qn_activities *a, const CUpti_Activity *record) {
    switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
        const CUpti_ActivityKernel9 *r = (const CUpti_ActivityKernel9 *)record;
        keep_activity(a, (qn_activity){r->start, r->end, r->correlationId, 0, r->name});
        return;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
        const CUpti_ActivityMemcpy5 *r = (const CUpti_ActivityMemcpy5 *)record;
        keep_activity(a, (qn_activity){r->start, r->end, r->correlationId, r->runtimeCorrelationId,
                                       "memcpy"});
        return;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
        const CUpti_ActivityMemset4 *r = (const CUpti_ActivityMemset4 *)record;
        keep_activity(a, (qn_activity){r->start, r->end, r->correlationId, 0, "memset"});
        return;
    }
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        keep_call(a, (const CUpti_ActivityExternalCorrelation *)record);
        return;
    default: /* calls of the API: what they launched refers to them by number */
        return;
    }
}

/* ---- buffers -------------------------------------------------------------------------------- */

enum { BUFFER_BYTES = 1 << 20 };

static void CUPTIAPI give_buffer(uint8_t **buffer, size_t *bytes, size_t *most_records) {
    *buffer = malloc(BUFFER_BYTES);
    *bytes = *buffer ? BUFFER_BYTES : 0;
    *most_records = 0; /* as many as it takes */
}

static void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes,
                                 size_t valid_bytes) {
    (void)context, (void)stream, (void)bytes;
    pthread_mutex_lock(&lock);
    CUpti_Activity *record = NULL;
    while (filled && filled->kept && valid_bytes &&
           !filled->cupti->ActivityGetNextRecord(buffer, valid_bytes, &record))
        keep(filled, record);
    pthread_mutex_unlock(&lock);
    free(buffer);
}

/* ---- filling -------------------------------------------------------------------------------- */

static bool take_turn(qn_activities *a) {
    pthread_mutex_lock(&lock);
    const bool free_to_take = !filled;
    if (free_to_take) filled = a;
    pthread_mutex_unlock(&lock);
    return free_to_take;
}

qn_status qn_activities_open(qn_activities *a, const qn_cupti *cupti) {
    *a = (qn_activities){.cupti = cupti};
    if (!take_turn(a))
        return qn_error(QN_CODE_UNSUPPORTED,
                        "a trace is open in this process, which can have one; close it first");
    const CUptiResult error = cupti->ActivityRegisterCallbacks(give_buffer, take_buffer);
    if (!error) return QN_OK;
    qn_activities_close(a);
    return qn_cupti_error(cupti, error, "giving buffers to CUPTI");
}

void qn_activities_close(qn_activities *a) {
    pthread_mutex_lock(&lock);
    if (filled == a) filled = NULL;
    pthread_mutex_unlock(&lock);
    free(a->ran);
    free(a->calls);
    *a = (qn_activities){0};
}

void qn_activities_begin(qn_activities *a) {
    pthread_mutex_lock(&lock);
    a->n_ran = a->n_calls = a->lost = 0;
    a->kept = true;
    pthread_mutex_unlock(&lock);
}

void qn_activities_end(qn_activities *a) {
    pthread_mutex_lock(&lock);
    a->kept = false;
    pthread_mutex_unlock(&lock);
}
