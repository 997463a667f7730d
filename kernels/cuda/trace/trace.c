/* trace.c: the trace of a GPU, by the activity records of CUPTI. From the open to the close CUPTI
 * makes them of all that runs, so that graphs are recorded under it; start and stop say which are
 * kept. */
#include "trace/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "trace/rows.h"

typedef struct trace {
    qn_trace base;
    qn_cuda *cuda;
    qn_cupti cupti;
    qn_activities activities;
    uint64_t begin, end; /* of what was recorded, ns on CUPTI's clock */
    qn_trace_rows rows;
    pthread_mutex_t lock; /* for the names of ranges */
    const char **ranges;  /* range i + 1 to CUPTI */
    size_t n_ranges, capacity;
} trace;

static trace *of_trace(qn_trace *t) { return (trace *)t; }

/* ---- ranges ---------------------------------------------------------------------------------- */

/* 0, which no range has, where there is no memory for another name. */
static uint64_t number_of(trace *t, const char *name) {
    for (size_t i = 0; i < t->n_ranges; i++)
        if (strcmp(t->ranges[i], name) == 0) return i + 1;
    if (t->n_ranges == t->capacity) {
        const size_t wanted = t->capacity ? 2 * t->capacity : 32;
        const char **more = realloc(t->ranges, wanted * sizeof *more);
        if (!more) return 0;
        t->ranges = more;
        t->capacity = wanted;
    }
    t->ranges[t->n_ranges++] = name;
    return t->n_ranges;
}

void qn_cuda_trace_push(qn_trace *base, const char *name) {
    if (!base) return;
    trace *t = of_trace(base);
    pthread_mutex_lock(&t->lock);
    const uint64_t number = number_of(t, name);
    pthread_mutex_unlock(&t->lock);
    t->cupti.ActivityPushExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, number);
}

void qn_cuda_trace_pop(qn_trace *base) {
    if (!base) return;
    of_trace(base)->cupti.ActivityPopExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0,
                                                           NULL);
}

/* ---- from start to stop ---------------------------------------------------------------------- */

/* Has CUPTI deliver the records of all that was launched. Buffers whose records are not complete
 * come as well: the device has nothing left to do, so that such a record would stay so. */
static qn_status deliver(trace *t) {
    QN_CUDA_TRY(cudaDeviceSynchronize(), "waiting for the GPU, to trace it");
    QN_CUPTI_TRY(&t->cupti, t->cupti.ActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED),
                 "reading the records of CUPTI");
    return QN_OK;
}

static qn_status count_dropped(const trace *t, size_t *dropped) {
    *dropped = 0;
    QN_CUPTI_TRY(&t->cupti, t->cupti.ActivityGetNumDroppedRecords(NULL, 0, dropped),
                 "asking CUPTI what it dropped");
    return QN_OK;
}

static qn_status start(qn_trace *base) {
    trace *t = of_trace(base);
    size_t earlier;
    qn_activities_end(&t->activities);
    qn_trace_rows_free(&t->rows);
    QN_TRY(deliver(t));
    QN_TRY(count_dropped(t, &earlier));
    qn_activities_begin(&t->activities);
    QN_CUPTI_TRY(&t->cupti, t->cupti.GetTimestamp(&t->begin), "asking CUPTI for the time");
    return QN_OK;
}

static qn_status stop(qn_trace *base) {
    trace *t = of_trace(base);
    size_t dropped;
    QN_CUDA_TRY(cudaDeviceSynchronize(), "waiting for the GPU, to end its trace");
    QN_CUPTI_TRY(&t->cupti, t->cupti.GetTimestamp(&t->end), "asking CUPTI for the time");
    QN_TRY(deliver(t));
    qn_activities_end(&t->activities);
    QN_TRY(count_dropped(t, &dropped));
    dropped += t->activities.lost;
    if (!dropped) return QN_OK;
    return qn_error(QN_CODE_MEMORY,
                    "%zu records of what ran on the GPU are lost, for lack of memory; leave more "
                    "of it free, or trace less",
                    dropped);
}

static qn_status read_rows(qn_trace *base, qn_trace_reading *out) {
    trace *t = of_trace(base);
    qn_trace_rows_free(&t->rows);
    QN_TRY(qn_trace_rows_make(&t->activities, t->ranges, t->n_ranges, &t->rows));
    *out = (qn_trace_reading){.rows = t->rows.items,
                              .n_rows = t->rows.count,
                              .busy_seconds =
                                  1e-9 * (double)qn_busy_time(&t->activities, t->begin, t->end),
                              .span_seconds = 1e-9 * (double)(t->end - t->begin)};
    return QN_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* CUPTI names the range of each record of a call, so it has to record the calls as well. */
static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                           CUPTI_ACTIVITY_KIND_MEMCPY,
                                           CUPTI_ACTIVITY_KIND_MEMSET,
                                           CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
                                           CUPTI_ACTIVITY_KIND_RUNTIME,
                                           CUPTI_ACTIVITY_KIND_DRIVER};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static void disable(const trace *t, size_t n_kinds) {
    for (size_t i = 0; i < n_kinds; i++) t->cupti.ActivityDisable(kinds[i]);
}

static qn_status enable(trace *t) {
    for (size_t i = 0; i < N_KINDS; i++) {
        const CUptiResult error = t->cupti.ActivityEnable(kinds[i]);
        if (!error) continue;
        disable(t, i);
        return qn_cupti_error(&t->cupti, error, "beginning to trace the GPU");
    }
    return QN_OK;
}

static void release(trace *t) {
    qn_activities_close(&t->activities);
    qn_trace_rows_free(&t->rows);
    pthread_mutex_destroy(&t->lock);
    free(t->ranges);
    free(t);
}

static void close_trace(qn_trace *base) {
    if (!base) return;
    trace *t = of_trace(base);
    t->cuda->trace = NULL;
    disable(t, N_KINDS);
    qn_activities_end(&t->activities);
    qn_status_free(deliver(t)); /* what is left, to forget it */
    release(t);
}

static const qn_trace_ops trace_ops = {
    .start = start, .stop = stop, .read = read_rows, .close = close_trace};

static qn_status open_on(trace *t) {
    QN_TRY(qn_cupti_open(&t->cupti));
    QN_TRY(qn_activities_open(&t->activities, &t->cupti));
    return enable(t);
}

qn_status qn_cuda_trace_open(qn_backend *backend, qn_trace **out) {
    *out = NULL;
    trace *t = calloc(1, sizeof *t);
    if (!t) return qn_error(QN_CODE_MEMORY, "no host memory for a trace");
    t->base.ops = &trace_ops;
    t->cuda = (qn_cuda *)backend;
    pthread_mutex_init(&t->lock, NULL);
    qn_status status = open_on(t);
    if (status) {
        release(t);
        return status;
    }
    t->cuda->trace = *out = &t->base;
    return QN_OK;
}
