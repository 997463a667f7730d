#include "quern/profile.h"

#include <stdlib.h>
#include <string.h>

#include "check/no_graphs.h"
#include "cost.h"

typedef enum op {
    OP_COPY,
    OP_ZERO,
    OP_CAST,
    OP_ADD,
    OP_SUM,
    OP_SUM_SQUARES,
    OP_GEMM,
    OP_EMBEDDING_FORWARD,
    OP_EMBEDDING_BACKWARD,
    OP_NORM_FORWARD,
    OP_NORM_BACKWARD,
    OP_ROPE,
    OP_ATTENTION_FORWARD,
    OP_ATTENTION_BACKWARD,
    OP_SWIGLU_FORWARD,
    OP_SWIGLU_BACKWARD,
    OP_GELU,
    OP_CLASSIFIER,
    OP_ADAMW,
    N_OPS,
} op;

static const char *const op_names[N_OPS] = {"copy",
                                            "zero",
                                            "cast",
                                            "add",
                                            "sum",
                                            "sum of squares",
                                            "gemm",
                                            "embedding",
                                            "embedding backward",
                                            "norm",
                                            "norm backward",
                                            "rope",
                                            "attention",
                                            "attention backward",
                                            "swiglu",
                                            "swiglu backward",
                                            "gelu",
                                            "classifier",
                                            "adamw"};

/* A call whose time has not been read. */
typedef struct timed_call {
    qn_event *begin, *end;
    op which;
} timed_call;

enum { MOST_OPEN = 512 };

typedef struct profile {
    qn_backend base;
    qn_backend *inner;
    timed_call open[MOST_OPEN]; /* the first n_open; the others' events are used again */
    int n_open;
    qn_profile_entry entries[N_OPS];
    qn_profile_entry sorted[N_OPS];
} profile;

typedef struct profile_stream {
    qn_stream base;
    qn_stream *inner;
} profile_stream;

static profile *of_backend(qn_backend *b) { return (profile *)b; }
static profile *of_stream(qn_stream *s) { return of_backend(s->backend); }
static qn_stream *inner_stream(qn_stream *s) { return ((profile_stream *)s)->inner; }
static const qn_ops *inner_ops(qn_stream *s) { return of_stream(s)->inner->ops; }

/* ---- timing --------------------------------------------------------------------------- */

/* Reads the times of all calls that are still open; waits for them. */
static qn_status settle(profile *p) {
    for (int i = 0; i < p->n_open; i++) {
        double seconds;
        QN_TRY(p->inner->ops->event_elapsed(p->open[i].begin, p->open[i].end, &seconds));
        p->entries[p->open[i].which].seconds += seconds;
    }
    p->n_open = 0;
    return QN_OK;
}

/* The next open call, its events made on first use. */
static qn_status next_call(profile *p, timed_call **out) {
    if (p->n_open == MOST_OPEN) QN_TRY(settle(p));
    timed_call *call = &p->open[p->n_open];
    if (!call->begin) QN_TRY(p->inner->ops->event_create(p->inner, &call->begin));
    if (!call->end) QN_TRY(p->inner->ops->event_create(p->inner, &call->end));
    *out = call;
    return QN_OK;
}

/* The operation is a range, too, so that a trace knows whose its kernels are. */
static qn_status begin(qn_stream *s, timed_call **call, op which) {
    profile *p = of_stream(s);
    QN_TRY(next_call(p, call));
    QN_TRY(inner_ops(s)->event_record((*call)->begin, inner_stream(s)));
    p->inner->ops->range_begin(p->inner, op_names[which]);
    return QN_OK;
}

/* Passes the status of the call on. */
static qn_status end(qn_stream *s, timed_call *call, op which, qn_cost cost, qn_status status) {
    profile *p = of_stream(s);
    p->inner->ops->range_end(p->inner);
    if (status) return status;
    QN_TRY(inner_ops(s)->event_record(call->end, inner_stream(s)));
    call->which = which;
    p->n_open++;
    p->entries[which].calls++;
    p->entries[which].flops += cost.flops;
    p->entries[which].bytes += cost.bytes;
    return QN_OK;
}

/* Runs `call` on the inner backend (`ops`, `inner`) between two events. */
#define TIMED(s, which, cost, call)                                                                \
    do {                                                                                           \
        const qn_ops *ops = inner_ops(s);                                                          \
        qn_stream *inner = inner_stream(s);                                                        \
        timed_call *timed;                                                                         \
        QN_TRY(begin(s, &timed, which));                                                           \
        return end(s, timed, which, cost, call);                                                   \
    } while (0)

static qn_cost bytes_alone(double bytes) { return (qn_cost){0, bytes}; }

/* ---- operations ------------------------------------------------------------------------- */

static qn_status copy(qn_stream *s, void *dst, const void *src, size_t bytes, qn_copy_kind kind) {
    const double passes = kind == QN_COPY_ON_DEVICE ? 2 : 1;
    TIMED(s, OP_COPY, bytes_alone(passes * (double)bytes), ops->copy(inner, dst, src, bytes, kind));
}
static qn_status zero(qn_stream *s, void *dst, size_t bytes) {
    TIMED(s, OP_ZERO, bytes_alone((double)bytes), ops->zero(inner, dst, bytes));
}
static qn_status cast(qn_stream *s, qn_tensor dst, qn_tensor src) {
    TIMED(s, OP_CAST, bytes_alone(qn_cost_tensor(&dst) + qn_cost_tensor(&src)),
          ops->cast(inner, dst, src));
}
static qn_status cast_stochastic(qn_stream *s, qn_tensor dst, qn_tensor src, uint64_t seed,
                                 int64_t step) {
    TIMED(s, OP_CAST, bytes_alone(qn_cost_tensor(&dst) + qn_cost_tensor(&src)),
          ops->cast_stochastic(inner, dst, src, seed, step));
}
static qn_status add(qn_stream *s, qn_tensor dst, qn_tensor a, qn_tensor b) {
    TIMED(s, OP_ADD, bytes_alone(3 * qn_cost_tensor(&dst)), ops->add(inner, dst, a, b));
}
static qn_status sum(qn_stream *s, qn_tensor x, float *out) {
    TIMED(s, OP_SUM, bytes_alone(qn_cost_tensor(&x)), ops->sum(inner, x, out));
}
static qn_status sum_squares(qn_stream *s, qn_tensor x, float *out) {
    TIMED(s, OP_SUM_SQUARES, bytes_alone(qn_cost_tensor(&x)), ops->sum_squares(inner, x, out));
}
static qn_status rope_table(qn_stream *s, qn_tensor table, double theta) {
    TIMED(s, OP_ROPE, bytes_alone(qn_cost_tensor(&table)), ops->rope_table(inner, table, theta));
}
static qn_status gelu(qn_stream *s, qn_tensor out, qn_tensor x) {
    TIMED(s, OP_GELU, bytes_alone(qn_cost_tensor(&out) + qn_cost_tensor(&x)),
          ops->gelu(inner, out, x));
}

#define WITH_ARGS(name, type, which, cost)                                                         \
    static qn_status name(qn_stream *s, const type *args) {                                        \
        TIMED(s, which, cost(args), ops->name(inner, args));                                       \
    }
WITH_ARGS(gemm, qn_gemm_args, OP_GEMM, qn_cost_gemm)
WITH_ARGS(embedding_forward, qn_embedding_args, OP_EMBEDDING_FORWARD, qn_cost_embedding_forward)
WITH_ARGS(embedding_backward, qn_embedding_args, OP_EMBEDDING_BACKWARD, qn_cost_embedding_backward)
WITH_ARGS(rmsnorm_forward, qn_norm_args, OP_NORM_FORWARD, qn_cost_norm_forward)
WITH_ARGS(rmsnorm_backward, qn_norm_args, OP_NORM_BACKWARD, qn_cost_norm_backward)
WITH_ARGS(layernorm_forward, qn_norm_args, OP_NORM_FORWARD, qn_cost_norm_forward)
WITH_ARGS(layernorm_backward, qn_norm_args, OP_NORM_BACKWARD, qn_cost_norm_backward)
WITH_ARGS(rope, qn_rope_args, OP_ROPE, qn_cost_rope)
WITH_ARGS(swiglu_forward, qn_swiglu_args, OP_SWIGLU_FORWARD, qn_cost_swiglu_forward)
WITH_ARGS(swiglu_backward, qn_swiglu_args, OP_SWIGLU_BACKWARD, qn_cost_swiglu_backward)
WITH_ARGS(classifier, qn_classifier_args, OP_CLASSIFIER, qn_cost_classifier)
WITH_ARGS(adamw, qn_adamw_args, OP_ADAMW, qn_cost_adamw)

/* ---- attention: two products over the pairs of a query and a key that it sees --------------- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Keys that one sequence's queries see. doc_start (Tk) is NULL without documents. */
static double visible_keys(const qn_attention_args *a, const int32_t *doc_start) {
    const int64_t Tq = a->q.shape[1], Tk = a->k.shape[1], reach = a->window ? a->window : Tk;
    int64_t begin = 0, end = doc_start ? 0 : Tk; /* of the document of position i */
    double keys = 0;
    for (int64_t i = 0; i < Tk; i++) {
        if (i == end) {
            begin = end;
            while (end < Tk && doc_start[end] == doc_start[begin]) end++;
        }
        if (i < Tk - Tq) continue;
        const int64_t first = most(begin, i - reach + 1);
        const int64_t last = a->causal ? i : least(end - 1, i + reach - 1);
        keys += (double)(last - first + 1);
    }
    return keys;
}

static qn_status visible_pairs(qn_stream *s, const qn_attention_args *a, double *pairs) {
    const int64_t B = a->q.shape[0], Tk = a->k.shape[1];
    const qn_tensor *documents = &a->doc_start;
    *pairs = 0;
    if (!documents->data || !Tk) {
        *pairs = (double)B * visible_keys(a, NULL);
        return QN_OK;
    }
    int32_t *row = malloc((size_t)Tk * sizeof *row);
    if (!row) return qn_error(QN_CODE_MEMORY, "no host memory to count what attention sees");
    qn_status status = QN_OK;
    for (int64_t b = 0; b < B && !status; b++) {
        const int32_t *from = (const int32_t *)documents->data + b * documents->stride[0];
        status = inner_ops(s)->copy(inner_stream(s), row, from, (size_t)Tk * sizeof *row,
                                    QN_COPY_TO_HOST);
        if (!status) status = inner_ops(s)->stream_sync(inner_stream(s));
        if (!status) *pairs += visible_keys(a, row);
    }
    free(row);
    return status;
}

/* Books `products` of matrices over what attention sees; outside of what is timed, and after
 * the backend has found the arguments right. */
static qn_status count_attention(qn_stream *s, op which, const qn_attention_args *a,
                                 double products) {
    double pairs;
    QN_TRY(visible_pairs(s, a, &pairs));
    of_stream(s)->entries[which].flops +=
        2 * products * pairs * (double)(a->q.shape[2] * a->q.shape[3]);
    return QN_OK;
}

static qn_status time_attention_forward(qn_stream *s, const qn_attention_args *args) {
    TIMED(s, OP_ATTENTION_FORWARD, qn_cost_attention_forward(args),
          ops->attention_forward(inner, args));
}
static qn_status time_attention_backward(qn_stream *s, const qn_attention_args *args) {
    TIMED(s, OP_ATTENTION_BACKWARD, qn_cost_attention_backward(args),
          ops->attention_backward(inner, args));
}
static qn_status attention_forward(qn_stream *s, const qn_attention_args *args) {
    QN_TRY(time_attention_forward(s, args));
    return count_attention(s, OP_ATTENTION_FORWARD, args, 2);
}
static qn_status attention_backward(qn_stream *s, const qn_attention_args *args) {
    QN_TRY(time_attention_backward(s, args));
    return count_attention(s, OP_ATTENTION_BACKWARD, args, 5);
}

/* ---- the device: passed on ------------------------------------------------------------------ */

static qn_status device_info(qn_backend *b, qn_device_info *info) {
    qn_backend *inner = of_backend(b)->inner;
    QN_TRY(inner->ops->device_info(inner, info));
    info->graphs = false; /* each call is timed by itself */
    return QN_OK;
}
static qn_status device_alloc(qn_backend *b, size_t bytes, void **out) {
    qn_backend *inner = of_backend(b)->inner;
    return inner->ops->alloc(inner, bytes, out);
}
static void device_free(qn_backend *b, void *memory) {
    qn_backend *inner = of_backend(b)->inner;
    inner->ops->free(inner, memory);
}
static qn_status host_alloc(qn_backend *b, size_t bytes, void **out) {
    qn_backend *inner = of_backend(b)->inner;
    return inner->ops->host_alloc(inner, bytes, out);
}
static void host_free(qn_backend *b, void *memory) {
    qn_backend *inner = of_backend(b)->inner;
    inner->ops->host_free(inner, memory);
}
static void range_begin(qn_backend *b, const char *name) {
    qn_backend *inner = of_backend(b)->inner;
    inner->ops->range_begin(inner, name);
}
static void range_end(qn_backend *b) {
    qn_backend *inner = of_backend(b)->inner;
    inner->ops->range_end(inner);
}
static qn_status trace_open(qn_backend *b, qn_trace **out) {
    qn_backend *inner = of_backend(b)->inner;
    return inner->ops->trace_open(inner, out);
}
static qn_status event_create(qn_backend *b, qn_event **out) {
    qn_backend *inner = of_backend(b)->inner;
    return inner->ops->event_create(inner, out);
}
static qn_status event_record(qn_event *event, qn_stream *s) {
    return inner_ops(s)->event_record(event, inner_stream(s));
}
static qn_status stream_wait(qn_stream *s, qn_event *event) {
    return inner_ops(s)->stream_wait(inner_stream(s), event);
}
static qn_status stream_sync(qn_stream *s) { return inner_ops(s)->stream_sync(inner_stream(s)); }

static qn_status stream_create(qn_backend *b, qn_stream **out) {
    qn_backend *inner = of_backend(b)->inner;
    profile_stream *s = calloc(1, sizeof *s);
    if (!s) return qn_error(QN_CODE_MEMORY, "no memory for a stream");
    s->base.backend = b;
    qn_status status = inner->ops->stream_create(inner, &s->inner);
    if (status) free(s);
    *out = status ? NULL : &s->base;
    return status;
}
static void stream_destroy(qn_stream *s) {
    inner_ops(s)->stream_destroy(inner_stream(s));
    free(s);
}

#define WORKSPACE(name, type)                                                                      \
    static size_t name(qn_backend *b, const type *args) {                                          \
        qn_backend *inner = of_backend(b)->inner;                                                  \
        return inner->ops->name(inner, args);                                                      \
    }
WORKSPACE(gemm_workspace, qn_gemm_args)
WORKSPACE(embedding_backward_workspace, qn_embedding_args)
WORKSPACE(norm_backward_workspace, qn_norm_args)
WORKSPACE(attention_forward_workspace, qn_attention_args)
WORKSPACE(attention_backward_workspace, qn_attention_args)
WORKSPACE(classifier_workspace, qn_classifier_args)

/* ---- the table ------------------------------------------------------------------------------- */

static void close_profile(qn_backend *b) {
    const profile *p = of_backend(b);
    for (int i = 0; i < MOST_OPEN; i++) {
        if (p->open[i].begin) p->inner->ops->event_destroy(p->open[i].begin);
        if (p->open[i].end) p->inner->ops->event_destroy(p->open[i].end);
    }
    free((void *)(uintptr_t)b->ops);
    free(b);
}

static void forget(profile *p) {
    for (int i = 0; i < N_OPS; i++) p->entries[i] = (qn_profile_entry){.op = op_names[i]};
}

qn_status qn_profile_open(qn_backend *inner, qn_backend **out) {
    profile *p = calloc(1, sizeof *p);
    qn_ops *ops = malloc(sizeof *ops);
    *out = NULL;
    if (!p || !ops) {
        free(p);
        free(ops);
        return qn_error(QN_CODE_MEMORY, "no memory for a profile");
    }
    *ops = (qn_ops){.device_info = device_info,
                    .close = close_profile,
                    .alloc = device_alloc,
                    .free = device_free,
                    .host_alloc = host_alloc,
                    .host_free = host_free,
                    .stream_create = stream_create,
                    .stream_destroy = stream_destroy,
                    .stream_sync = stream_sync,
                    .event_create = event_create,
                    .event_destroy = inner->ops->event_destroy,
                    .event_record = event_record,
                    .stream_wait = stream_wait,
                    .event_sync = inner->ops->event_sync,
                    .event_elapsed = inner->ops->event_elapsed,
                    .capture_begin = qn_no_capture_begin,
                    .capture_end = qn_no_capture_end,
                    .graph_launch = qn_no_graph_launch,
                    .graph_destroy = qn_no_graph_destroy,
                    .range_begin = range_begin,
                    .range_end = range_end,
                    .trace_open = trace_open,
                    .copy = copy,
                    .zero = zero,
                    .cast = cast,
                    .cast_stochastic = cast_stochastic,
                    .add = add,
                    .sum = sum,
                    .sum_squares = sum_squares,
                    .gemm_workspace = gemm_workspace,
                    .gemm = gemm,
                    .embedding_forward = embedding_forward,
                    .embedding_backward_workspace = embedding_backward_workspace,
                    .embedding_backward = embedding_backward,
                    .norm_backward_workspace = norm_backward_workspace,
                    .rmsnorm_forward = rmsnorm_forward,
                    .rmsnorm_backward = rmsnorm_backward,
                    .layernorm_forward = layernorm_forward,
                    .layernorm_backward = layernorm_backward,
                    .rope_table = rope_table,
                    .rope = rope,
                    .attention_forward_workspace = attention_forward_workspace,
                    .attention_forward = attention_forward,
                    .attention_backward_workspace = attention_backward_workspace,
                    .attention_backward = attention_backward,
                    .swiglu_forward = swiglu_forward,
                    .swiglu_backward = swiglu_backward,
                    .gelu = gelu,
                    .classifier_workspace = classifier_workspace,
                    .classifier = classifier,
                    .adamw = adamw};
    p->base.ops = ops;
    p->inner = inner;
    *out = &p->base;
    forget(p);
    return QN_OK;
}

qn_status qn_profile_reset(qn_backend *b) {
    QN_TRY(settle(of_backend(b)));
    forget(of_backend(b));
    return QN_OK;
}

static int by_time(const void *a, const void *b) {
    const double x = ((const qn_profile_entry *)a)->seconds;
    const double y = ((const qn_profile_entry *)b)->seconds;
    return (x < y) - (x > y);
}

qn_status qn_profile_read(qn_backend *b, const qn_profile_entry **entries, int *n) {
    profile *p = of_backend(b);
    int count = 0;
    QN_TRY(settle(p));
    for (int i = 0; i < N_OPS; i++) {
        if (p->entries[i].calls) p->sorted[count++] = p->entries[i];
    }
    qsort(p->sorted, (size_t)count, sizeof *p->sorted, by_time);
    *entries = p->sorted;
    *n = count;
    return QN_OK;
}
