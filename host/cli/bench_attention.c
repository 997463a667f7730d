#include <string.h>

#include "cli/arguments.h"
#include "cli/attention_report.h"
#include "cli/commands.h"
#include "cli/open_backend.h"

static const char doc[] =
    "Measures naive and fused attention side by side: time, operations a second, workspace and "
    "error against float64."
    "\v"
    "Operations are counted as everyone does: 4·B·H·D for each pair of a query and a key that it "
    "sees (half of T² when causal), and 2.5 times as many backward. Time is the median of the "
    "repeats, in which the two take turns; before each timed call on a GPU 256 MiB are cleared, so "
    "that its caches are cold. Inputs are in the dtype that the backend stores. The error is the "
    "largest over 16 rows of o and lse, or of dq, dk and dv, spread over positions, heads and "
    "sequences. The floor is the longer of the operations over the peak (measured, or of the data "
    "sheet of a known GPU) and of the bytes over the measured speed of copies.\n\n"
    "Examples:\n"
    "  quern bench attention\n"
    "  quern bench attention --causal --seq-lens 2048,8192,32768 --repeats 3\n"
    "  quern bench attention --forward --stats --heads 8 --kv-heads 2 --head-dim 128\n"
    "  quern bench attention --seq-lens 4096 --window 256 --json attention.json\n"
    "  quern bench attention --backend cuda --heads 16 --head-dim 128 --seq-lens 1024,16384,131072";

enum { MAX_SEQ_LENS = 32 };

typedef struct arguments {
    int64_t seq_lens[MAX_SEQ_LENS];
    int n_seq_lens;
    int64_t batch, heads, kv_heads, head_dim, window;
    bool causal, full, forward, backward, stats, deterministic;
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
    KEY_DETERMINISTIC,
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
    {"deterministic", KEY_DETERMINISTIC, 0, 0, "a backward pass that gives the same bits each time",
     0},
    {"repeats", KEY_REPEATS, "N", 0, "timed calls of each (default 5, on a GPU 20)", 0},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default 0: one a core)", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "cpu, cuda or auto (default auto)", 0},
    {"max-naive-bytes", KEY_MAX_NAIVE, "BYTES", 0,
     "leave naive out where its workspace would be larger (default 4e9, on a GPU half of what is "
     "free)",
     0},
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
    case KEY_DETERMINISTIC:
        a->deterministic = true;
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

/* ---- running ------------------------------------------------------------------------ */

static qn_status run_pass(const qn_attention_run *run, qn_attention_problem *problem, bool backward,
                          json_t *rows) {
    qn_pass pass;
    qn_status status = qn_pass_measure(problem, backward, &run->options, &run->ceilings, &pass);
    if (!status) {
        qn_report_pass(problem, &pass);
        json_array_append_new(rows, qn_report_row(problem, &pass, run->options.repeats));
    }
    qn_pass_free(&pass);
    return status;
}

static qn_status run_problem(const arguments *a, const qn_attention_run *run, qn_backend *backend,
                             const qn_attention_shape *shape, json_t *rows) {
    qn_attention_problem problem;
    qn_status status = qn_attention_problem_open(backend, shape, &problem);
    if (!status && a->forward) status = run_pass(run, &problem, false, rows);
    if (!status && a->backward) status = run_pass(run, &problem, true, rows);
    qn_attention_problem_close(&problem);
    return status;
}

static qn_status run_all(const arguments *a, const qn_attention_run *run, qn_backend *backend,
                         json_t *rows) {
    qn_attention_shape shape = run->shape;
    for (int causal = 1; causal >= 0; causal--) {
        if (causal ? !a->causal : !a->full) continue;
        qn_report_head(run, causal);
        shape.causal = causal;
        for (int n = 0; n < a->n_seq_lens; n++) {
            shape.seq_len = a->seq_lens[n];
            QN_TRY(run_problem(a, run, backend, &shape, rows));
        }
    }
    return QN_OK;
}

/* ---- the command --------------------------------------------------------------------------- */

enum { CLEAR_BYTES = 256 << 20 }; /* more than the second-level cache of any GPU */

/* What was not asked for depends on the device. */
static qn_status make_run(const arguments *a, qn_backend *backend, qn_attention_run *run) {
    *run = (qn_attention_run){
        .shape = {.batch = a->batch,
                  .n_heads = a->heads,
                  .n_kv_heads = a->kv_heads,
                  .head_dim = a->head_dim,
                  .window = a->window,
                  .deterministic = a->deterministic},
        .options = {.stats = a->stats,
                    .repeats = a->repeats,
                    .max_naive_bytes = a->max_naive_bytes},
    };
    QN_TRY(backend->ops->device_info(backend, &run->device));
    const bool gpu = run->device.n_threads == 0;
    qn_measure_options *o = &run->options;
    if (gpu) o->clear_bytes = CLEAR_BYTES;
    if (o->repeats == 0) o->repeats = gpu ? 20 : 5;
    if (o->max_naive_bytes < 0)
        o->max_naive_bytes = gpu ? 0.5 * (double)run->device.memory_free : 4e9;
    return qn_ceilings_find(backend, &run->device, &run->ceilings);
}

static qn_status bench(const arguments *a, qn_backend *backend) {
    qn_attention_run run;
    QN_TRY(make_run(a, backend, &run));
    qn_report_title(&run);
    json_t *rows = json_array();
    qn_status status = run_all(a, &run, backend, rows);
    if (!status) qn_report_legend(&run);
    if (!status && a->json) status = qn_report_write(a->json, &run, rows);
    json_decref(rows);
    return status;
}

qn_status bench_attention(int argc, char **argv) {
    arguments a = {.seq_lens = {128, 256, 512, 1024, 2048, 4096},
                   .n_seq_lens = 6,
                   .batch = 1,
                   .heads = 4,
                   .head_dim = 64,
                   .max_naive_bytes = -1,
                   .backend = "auto"};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_backend *backend;
    QN_TRY(qn_open_backend(a.backend, a.threads, &backend));
    qn_status status = bench(&a, backend);
    backend->ops->close(backend);
    return status;
}
