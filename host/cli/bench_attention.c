#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/attention_check.h"
#include "cli/commands.h"
#include "quern/backend.h"
#include "quern/clock.h"
#include "quern/files.h"
#include "quern/philox.h"

static const char doc[] =
    "Measures naive and fused attention side by side: time, operations a second, workspace and "
    "error against float64."
    "\v"
    "Operations are counted as everyone does: 4·B·H·D for each pair of a query and a key that it "
    "sees (half of T² when causal), and 2.5 times as many backward. Time is the median of the "
    "repeats, in which the two take turns. The error is the largest over 16 rows of o and lse, or "
    "of dq, dk and dv, spread over positions, heads and sequences.\n\n"
    "Examples:\n"
    "  quern bench attention\n"
    "  quern bench attention --causal --seq-lens 2048,8192,32768 --repeats 3\n"
    "  quern bench attention --forward --stats --heads 8 --kv-heads 2 --head-dim 128\n"
    "  quern bench attention --seq-lens 4096 --window 256 --json attention.json";

enum { MAX_SEQ_LENS = 32 };

typedef struct arguments {
    int64_t seq_lens[MAX_SEQ_LENS];
    int n_seq_lens;
    int64_t batch, heads, kv_heads, head_dim, window;
    bool causal, full, forward, backward, stats;
    int threads;
    int64_t repeats;
    double max_naive_bytes;
    const char *backend, *json;
} arguments;

enum {
    KEY_HEADS = 0x1000,
    KEY_KV_HEADS,
    KEY_HEAD_DIM,
    KEY_BATCH,
    KEY_CAUSAL,
    KEY_FULL,
    KEY_WINDOW,
    KEY_FORWARD,
    KEY_BACKWARD,
    KEY_SEQ_LENS,
    KEY_REPEATS,
    KEY_THREADS,
    KEY_BACKEND,
    KEY_MAX_NAIVE,
    KEY_STATS,
    KEY_JSON,
};

static const struct argp_option options[] = {
    {"seq-lens", KEY_SEQ_LENS, "T,...", 0, "lengths (default 128,256,512,1024,2048,4096)", 0},
    {"batch", KEY_BATCH, "B", 0, "sequences (default 1)", 0},
    {"heads", KEY_HEADS, "H", 0, "query heads (default 4)", 0},
    {"kv-heads", KEY_KV_HEADS, "H", 0, "key heads (default: as many as query heads)", 0},
    {"head-dim", KEY_HEAD_DIM, "D", 0, "a multiple of 8 up to 256 (default 64)", 0},
    {"causal", KEY_CAUSAL, 0, 0, "causal mask only (default: both)", 0},
    {"full", KEY_FULL, 0, 0, "full mask only (default: both)", 0},
    {"window", KEY_WINDOW, "W", 0, "sliding window (default 0: none)", 0},
    {"forward", KEY_FORWARD, 0, 0, "forward pass only (default: both)", 0},
    {"backward", KEY_BACKWARD, 0, 0, "backward pass only (default: both)", 0},
    {"stats", KEY_STATS, 0, 0, "also time the fused forward pass with statistics", 0},
    {"repeats", KEY_REPEATS, "N", 0, "timed calls of each (default 5)", 0},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default 0: one a core)", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "cpu or auto (default auto)", 0},
    {"max-naive-bytes", KEY_MAX_NAIVE, "BYTES", 0,
     "leave naive out where its workspace would be larger (default 4e9)", 0},
    {"json", KEY_JSON, "FILE", 0, "write the figures there too", 0},
    {0}};

static void parse_seq_lens(struct argp_state *state, char *text, arguments *a) {
    char *rest;
    a->n_seq_lens = 0;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (a->n_seq_lens == MAX_SEQ_LENS)
            argp_error(state, "--seq-lens has more than %d lengths", MAX_SEQ_LENS);
        a->seq_lens[a->n_seq_lens++] = qn_arg_int(state, "--seq-lens", word, 1, 1 << 24);
    }
    if (a->n_seq_lens == 0) argp_error(state, "--seq-lens has no length");
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case KEY_SEQ_LENS:
        parse_seq_lens(state, arg, a);
        break;
    case KEY_BATCH:
        a->batch = qn_arg_int(state, "--batch", arg, 1, 1 << 20);
        break;
    case KEY_HEADS:
        a->heads = qn_arg_int(state, "--heads", arg, 1, 1 << 16);
        break;
    case KEY_KV_HEADS:
        a->kv_heads = qn_arg_int(state, "--kv-heads", arg, 1, 1 << 16);
        break;
    case KEY_HEAD_DIM:
        a->head_dim = qn_arg_int(state, "--head-dim", arg, 8, 256);
        break;
    case KEY_WINDOW:
        a->window = qn_arg_int(state, "--window", arg, 0, INT32_MAX);
        break;
    case KEY_CAUSAL:
        a->causal = true;
        break;
    case KEY_FULL:
        a->full = true;
        break;
    case KEY_FORWARD:
        a->forward = true;
        break;
    case KEY_BACKWARD:
        a->backward = true;
        break;
    case KEY_STATS:
        a->stats = true;
        break;
    case KEY_REPEATS:
        a->repeats = qn_arg_int(state, "--repeats", arg, 1, 1000000);
        break;
    case KEY_THREADS:
        a->threads = (int)qn_arg_int(state, "--threads", arg, 0, 1024);
        break;
    case KEY_BACKEND:
        a->backend = arg;
        break;
    case KEY_MAX_NAIVE:
        a->max_naive_bytes = qn_arg_real(state, "--max-naive-bytes", arg, 0, 1e18);
        break;
    case KEY_JSON:
        a->json = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is not expected here", arg);
        break;
    case ARGP_KEY_END:
        if (!a->kv_heads) a->kv_heads = a->heads;
        if (a->heads % a->kv_heads)
            argp_error(state, "--heads is %lld, expected a multiple of --kv-heads %lld",
                       (long long)a->heads, (long long)a->kv_heads);
        if (a->head_dim % 8)
            argp_error(state, "--head-dim is %lld, expected a multiple of 8",
                       (long long)a->head_dim);
        if (!a->causal && !a->full) a->causal = a->full = true;
        if (!a->forward && !a->backward) a->forward = a->backward = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- tensors ----------------------------------------------------------------------- */

enum { Q, K, V, DOUT, O, LSE, DQ, DK, DV, N_TENSORS, N_INPUTS = O };

/* One problem: its tensors on the device, and copies in host memory. */
typedef struct problem {
    qn_backend *backend;
    qn_stream *stream;
    qn_attention_args args;
    int64_t numel[N_TENSORS];
    float *host[N_TENSORS];
    void *device[N_TENSORS];
    qn_attn_stats stats; /* on the device */
    double flops;        /* of the forward pass */
} problem;

static void fill_normal(float *x, int64_t n, uint32_t stream) {
    for (int64_t i = 0; i < n; i += 2) {
        const qn_philox r = qn_philox_at(1, QN_RANDOM_INIT, stream, (uint64_t)i);
        float pair[2];
        qn_normal_pair(r.x[0], r.x[1], pair);
        x[i] = pair[0];
        if (i + 1 < n) x[i + 1] = pair[1];
    }
}

static qn_status open_tensors(problem *p) {
    const qn_ops *ops = p->backend->ops;
    for (int t = 0; t < N_TENSORS; t++) {
        const size_t bytes = (size_t)p->numel[t] * sizeof(float);
        p->host[t] = malloc(bytes);
        if (!p->host[t]) return qn_error(QN_CODE_MEMORY, "no host memory for %zu bytes", bytes);
        QN_TRY(ops->alloc(p->backend, bytes, &p->device[t]));
        if (t >= N_INPUTS) continue;
        fill_normal(p->host[t], p->numel[t], (uint32_t)t);
        QN_TRY(ops->copy(p->stream, p->device[t], p->host[t], bytes, QN_COPY_TO_DEVICE));
    }
    return ops->stream_sync(p->stream);
}

static qn_status open_stats(problem *p, int64_t heads) {
    const qn_ops *ops = p->backend->ops;
    const size_t sums = (size_t)heads * QN_ATTN_N_SUMS * sizeof(float);
    const size_t counts = (size_t)heads * QN_ATTN_N_COUNTS * sizeof(int64_t);
    p->stats.local_window = 64;
    QN_TRY(ops->alloc(p->backend, sums, (void **)&p->stats.sums));
    QN_TRY(ops->alloc(p->backend, counts, (void **)&p->stats.counts));
    QN_TRY(ops->zero(p->stream, p->stats.sums, sums));
    return ops->zero(p->stream, p->stats.counts, counts);
}

static qn_attention_check check_of(const problem *p, const arguments *a, int64_t seq_len) {
    return (qn_attention_check){
        .batch = a->batch,
        .seq_len = seq_len,
        .n_heads = a->heads,
        .n_kv_heads = a->kv_heads,
        .head_dim = a->head_dim,
        .causal = p->args.causal,
        .window = a->window,
        .scale = p->args.scale,
        .q = p->host[Q],
        .k = p->host[K],
        .v = p->host[V],
        .o = p->host[O],
        .lse = p->host[LSE],
        .dout = p->host[DOUT],
        .dq = p->host[DQ],
        .dk = p->host[DK],
        .dv = p->host[DV],
    };
}

static qn_status open_problem(const arguments *a, qn_backend *backend, bool causal, int64_t T,
                              problem *p) {
    const int64_t B = a->batch, D = a->head_dim, rows = B * T;
    *p = (problem){.backend = backend};
    QN_TRY(backend->ops->stream_create(backend, &p->stream));
    for (int t = 0; t < N_TENSORS; t++) p->numel[t] = rows * a->heads * D;
    p->numel[K] = p->numel[V] = p->numel[DK] = p->numel[DV] = rows * a->kv_heads * D;
    p->numel[LSE] = rows * a->heads;
    QN_TRY(open_tensors(p));
    if (a->stats) QN_TRY(open_stats(p, a->heads));
    const qn_tensor q = qn_tensor_4d(NULL, QN_F32, B, T, a->heads, D);
    const qn_tensor k = qn_tensor_4d(NULL, QN_F32, B, T, a->kv_heads, D);
    qn_attention_args *args = &p->args;
    args->q = args->o = args->dout = args->dq = q;
    args->k = args->v = args->dk = args->dv = k;
    args->lse = qn_tensor_3d(NULL, QN_F32, B, a->heads, T);
    qn_tensor *tensors[N_TENSORS] = {&args->q,   &args->k,  &args->v,  &args->dout, &args->o,
                                     &args->lse, &args->dq, &args->dk, &args->dv};
    for (int t = 0; t < N_TENSORS; t++) tensors[t]->data = p->device[t];
    args->scale = 1 / sqrtf((float)D);
    args->causal = causal;
    args->window = a->window;
    const qn_attention_check check = check_of(p, a, T);
    p->flops = 4.0 * (double)(B * a->heads * D) * qn_attention_pairs(&check);
    if (causal && !a->window) /* T²/2 by convention, without the diagonal's half */
        p->flops = 2.0 * (double)(B * a->heads * D) * (double)T * (double)T;
    return QN_OK;
}

static void close_problem(problem *p) {
    const qn_ops *ops = p->backend->ops;
    for (int t = 0; t < N_TENSORS; t++) {
        free(p->host[t]);
        ops->free(p->backend, p->device[t]);
    }
    ops->free(p->backend, p->stats.sums);
    ops->free(p->backend, p->stats.counts);
    if (p->stream) ops->stream_destroy(p->stream);
}

/* ---- measuring ----------------------------------------------------------------------- */

typedef enum variant { NAIVE, FUSED, FUSED_STATS, N_VARIANTS } variant;

typedef struct figures {
    bool run;
    size_t bytes;   /* of the workspace */
    double seconds; /* median */
    double error;
    double *times;
} figures;

/* One pass of one problem. */
typedef struct pass {
    bool backward;
    int64_t seq_len;
    double flops;
    figures of[N_VARIANTS];
} pass;

static qn_attention_args args_of(const problem *p, variant v) {
    qn_attention_args args = p->args;
    args.impl = v == NAIVE ? QN_ATTN_NAIVE : QN_ATTN_FUSED;
    args.stats = v == FUSED_STATS ? (qn_attn_stats *)&p->stats : NULL;
    return args;
}

static qn_status call(const problem *p, bool backward, variant v, void *workspace) {
    const qn_ops *ops = p->backend->ops;
    qn_attention_args args = args_of(p, v);
    args.workspace = workspace;
    QN_TRY(backward ? ops->attention_backward(p->stream, &args)
                    : ops->attention_forward(p->stream, &args));
    return ops->stream_sync(p->stream);
}

static qn_status fetch(const problem *p, int first, int last) {
    const qn_ops *ops = p->backend->ops;
    for (int t = first; t <= last; t++)
        QN_TRY(ops->copy(p->stream, p->host[t], p->device[t], (size_t)p->numel[t] * sizeof(float),
                         QN_COPY_TO_HOST));
    return ops->stream_sync(p->stream);
}

/* The call that warms up is the one that is checked. */
static qn_status check_variant(const arguments *a, const problem *p, pass *pass, variant v,
                               void *workspace) {
    const qn_attention_check check = check_of(p, a, pass->seq_len);
    figures *f = &pass->of[v];
    QN_TRY(call(p, pass->backward, v, workspace));
    QN_TRY(fetch(p, O, pass->backward ? DV : LSE));
    return pass->backward ? qn_attention_check_backward(&check, &f->error)
                          : qn_attention_check_forward(&check, &f->error);
}

static void show_progress(const pass *pass, const char *what) {
    if (!isatty(STDERR_FILENO)) return;
    fprintf(stderr, "\r\033[K%s T=%lld %s", what, (long long)pass->seq_len,
            pass->backward ? "backward" : "forward");
    fflush(stderr);
}

static void clear_progress(void) {
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The variants take turns, so that all see the same machine. */
static qn_status time_variants(const arguments *a, const problem *p, pass *pass, void *workspace) {
    for (int64_t i = 0; i < a->repeats; i++) {
        for (int v = 0; v < N_VARIANTS; v++) {
            if (!pass->of[v].run) continue;
            const double start = qn_clock();
            QN_TRY(call(p, pass->backward, (variant)v, workspace));
            pass->of[v].times[i] = qn_clock() - start;
        }
    }
    for (int v = 0; v < N_VARIANTS; v++) {
        figures *f = &pass->of[v];
        if (!f->run) continue;
        qsort(f->times, (size_t)a->repeats, sizeof *f->times, ascending);
        f->seconds = f->times[a->repeats / 2];
    }
    return QN_OK;
}

/* Which variants run, and the largest workspace among them. */
static size_t choose_variants(const arguments *a, const problem *p, pass *pass) {
    const qn_ops *ops = p->backend->ops;
    size_t largest = 0;
    for (int v = 0; v < N_VARIANTS; v++) {
        const qn_attention_args args = args_of(p, (variant)v);
        figures *f = &pass->of[v];
        f->bytes = pass->backward ? ops->attention_backward_workspace(p->backend, &args)
                                  : ops->attention_forward_workspace(p->backend, &args);
        f->run = v == NAIVE   ? (double)f->bytes <= a->max_naive_bytes
                 : v == FUSED ? true
                              : a->stats && !pass->backward;
        if (f->run && f->bytes > largest) largest = f->bytes;
    }
    return largest;
}

static qn_status measure_pass(const arguments *a, const problem *p, pass *pass) {
    static const char *const names[] = {"naive", "fused", "fused with statistics"};
    double *times = malloc((size_t)a->repeats * N_VARIANTS * sizeof *times);
    if (!times) return qn_error(QN_CODE_MEMORY, "no memory for the times of the repeats");
    void *workspace = NULL;
    qn_status status;
    QN_TRY_GOTO(status, done,
                p->backend->ops->alloc(p->backend, choose_variants(a, p, pass), &workspace));
    for (int v = 0; v < N_VARIANTS; v++) {
        pass->of[v].times = times + v * a->repeats;
        if (!pass->of[v].run) continue;
        show_progress(pass, names[v]);
        QN_TRY_GOTO(status, done, check_variant(a, p, pass, (variant)v, workspace));
    }
    show_progress(pass, "timing");
    status = time_variants(a, p, pass, workspace);
done:
    clear_progress();
    p->backend->ops->free(p->backend, workspace);
    free(times);
    return status;
}

/* ---- the table -------------------------------------------------------------------------- */

static void print_head(const arguments *a, bool causal) {
    printf("\n%s mask", causal ? "causal" : "full");
    if (a->window) printf(", window %lld", (long long)a->window);
    printf("\n%7s %-8s | %10s %8s %10s %8s | %10s %8s %10s %8s | %6s%s\n", "T", "pass", "naive ms",
           "GFLOP/s", "MiB", "error", "fused ms", "GFLOP/s", "MiB", "error", "ratio",
           a->stats ? "  statistics" : "");
}

static void print_figures(const figures *f, double flops) {
    if (f->run)
        printf(" | %10.2f %8.1f %10.1f %8.1e", 1e3 * f->seconds, 1e-9 * flops / f->seconds,
               (double)f->bytes / (1 << 20), f->error);
    else
        printf(" | %10s %8s %10.0f %8s", "too large", "", (double)f->bytes / (1 << 20), "");
}

static void print_pass(const pass *p) {
    const figures *naive = &p->of[NAIVE], *fused = &p->of[FUSED], *stats = &p->of[FUSED_STATS];
    printf("%7lld %-8s", (long long)p->seq_len, p->backward ? "backward" : "forward");
    print_figures(naive, p->flops);
    print_figures(fused, p->flops);
    if (naive->run)
        printf(" | %6.2f", naive->seconds / fused->seconds);
    else
        printf(" | %6s", "");
    if (stats->run) printf("  %+9.1f %%", 100 * (stats->seconds / fused->seconds - 1));
    printf("\n");
    fflush(stdout);
}

static json_t *json_figures(const figures *f, double flops) {
    if (!f->run) return json_pack("{s:b,s:I}", "run", 0, "workspace_bytes", (json_int_t)f->bytes);
    return json_pack("{s:b,s:I,s:f,s:f,s:f}", "run", 1, "workspace_bytes", (json_int_t)f->bytes,
                     "seconds", f->seconds, "flops_per_s", flops / f->seconds, "max_error",
                     f->error);
}

static json_t *json_pass(const pass *p, bool causal) {
    json_t *row = json_pack("{s:I,s:s,s:b,s:f,s:o,s:o}", "seq_len", (json_int_t)p->seq_len, "pass",
                            p->backward ? "backward" : "forward", "causal", causal, "flops",
                            p->flops, "naive", json_figures(&p->of[NAIVE], p->flops), "fused",
                            json_figures(&p->of[FUSED], p->flops));
    if (p->of[FUSED_STATS].run)
        json_object_set_new(row, "fused_stats", json_figures(&p->of[FUSED_STATS], p->flops));
    return row;
}

static qn_status write_json(const arguments *a, const qn_device_info *device, json_t *rows) {
    json_t *root =
        json_pack("{s:s,s:s,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:O}", "bench", "attention",
                  "version", QN_VERSION, "device", device->name, "arch", device->arch, "threads",
                  device->n_threads, "batch", (json_int_t)a->batch, "heads", (json_int_t)a->heads,
                  "kv_heads", (json_int_t)a->kv_heads, "head_dim", (json_int_t)a->head_dim,
                  "window", (json_int_t)a->window, "repeats", (json_int_t)a->repeats, "error_rows",
                  QN_ATTENTION_CHECK_ROWS, "results", rows);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    if (!text) return qn_error(QN_CODE_MEMORY, "%s: no memory for its text", a->json);
    qn_status status = qn_file_write(a->json, text, strlen(text));
    free(text);
    return status;
}

/* ---- the command --------------------------------------------------------------------------- */

/* o and lse, which a backward pass alone needs too. */
static qn_status make_outputs(const problem *p) {
    const qn_ops *ops = p->backend->ops;
    const qn_attention_args args = args_of(p, FUSED);
    void *workspace;
    QN_TRY(ops->alloc(p->backend, ops->attention_forward_workspace(p->backend, &args), &workspace));
    qn_status status = call(p, false, FUSED, workspace);
    ops->free(p->backend, workspace);
    return status;
}

static qn_status run_pass(const arguments *a, const problem *p, pass *pass, json_t *rows) {
    QN_TRY(measure_pass(a, p, pass));
    print_pass(pass);
    json_array_append_new(rows, json_pass(pass, p->args.causal));
    return QN_OK;
}

static qn_status run_problem(const arguments *a, const problem *p, int64_t seq_len, json_t *rows) {
    pass forward = {.seq_len = seq_len, .flops = p->flops};
    pass backward = {.seq_len = seq_len, .flops = 2.5 * p->flops, .backward = true};
    if (a->forward) QN_TRY(run_pass(a, p, &forward, rows));
    if (!a->backward) return QN_OK;
    QN_TRY(make_outputs(p));
    return run_pass(a, p, &backward, rows);
}

static qn_status run_all(const arguments *a, qn_backend *backend, json_t *rows) {
    for (int causal = 1; causal >= 0; causal--) {
        if (causal ? !a->causal : !a->full) continue;
        print_head(a, causal);
        for (int n = 0; n < a->n_seq_lens; n++) {
            problem p;
            qn_status status = open_problem(a, backend, causal, a->seq_lens[n], &p);
            if (!status) status = run_problem(a, &p, a->seq_lens[n], rows);
            close_problem(&p);
            QN_TRY(status);
        }
    }
    return QN_OK;
}

static qn_status run(const arguments *a, qn_backend *backend) {
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    printf("attention on %s: batch %lld, %lld query heads, %lld key heads, head dimension %lld\n",
           device.name, (long long)a->batch, (long long)a->heads, (long long)a->kv_heads,
           (long long)a->head_dim);
    json_t *rows = json_array();
    qn_status status = run_all(a, backend, rows);
    printf("\nms: median of %lld; MiB: workspace; error: largest against float64 over %d sampled "
           "rows; ratio: naive time over fused\n",
           (long long)a->repeats, QN_ATTENTION_CHECK_ROWS);
    if (!status && a->json) status = write_json(a, &device, rows);
    json_decref(rows);
    return status;
}

qn_status bench_attention(int argc, char **argv) {
    arguments a = {.seq_lens = {128, 256, 512, 1024, 2048, 4096},
                   .n_seq_lens = 6,
                   .batch = 1,
                   .heads = 4,
                   .head_dim = 64,
                   .repeats = 5,
                   .max_naive_bytes = 4e9,
                   .backend = "auto"};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_backend *backend;
    QN_TRY(qn_backend_open(a.backend, a.threads, &backend));
    qn_status status = run(&a, backend);
    backend->ops->close(backend);
    return status;
}
