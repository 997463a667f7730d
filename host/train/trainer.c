/* trainer.c: a training run from its options to its last checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "quern/backend.h"
#include "quern/comm.h"
#include "quern/files.h"
#include "quern/train.h"
#include "train/model_source.h"
#include "train/optimizer.h"
#include "train/run_log.h"
#include "train/schedule.h"

/* All that a run holds open. */
typedef struct session {
    qn_train_options options;
    const qn_train_hooks *hooks;
    qn_comm *comm;
    qn_backend *backend;
    qn_dataset dataset;
    qn_loader *train_loader, *val_loader;
    qn_model *model;
    qn_optimizer optimizer;
    qn_run_log log;
    qn_train_state state;
    int32_t *host; /* tokens, targets, document starts of one micro-batch */
    double begun;  /* clock at which `seconds` of training would be 0 */
    int64_t saved_step;
    int lock; /* on the run's folder; -1 before it is taken */
} session;

static void note(const session *s, const char *message) {
    if (s->hooks->on_note) s->hooks->on_note(s->hooks->context, message);
}

static void note_from_below(void *context, const char *message) { note(context, message); }

/* A path below the run's folder; NULL when out of memory. */
static char *run_path(const session *s, const char *name) {
    return qn_path("%s/%s", s->options.run, name);
}

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "no host memory for %s", what);
}

/* ---- the run's folder ------------------------------------------------------------------ */

static bool folder_has_entries(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return false;
    bool found = false;
    for (struct dirent *e; !found && (e = readdir(dir));) {
        found = strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    }
    closedir(dir);
    return found;
}

/* Options that shape the numbers of a run must be what they were. */
static qn_status check_same_options(const qn_train_options *now, const char *run_json) {
    qn_train_options before;
    qn_options_default(&before);
    QN_TRY(qn_options_load(&before, run_json));
    int count;
    const qn_option *table = qn_option_table(&count);
    for (int i = 0; i < count; i++) {
        char old_text[QN_OPTION_TEXT], new_text[QN_OPTION_TEXT];
        if (table[i].resumable) continue;
        qn_option_get(&before, &table[i], old_text, sizeof old_text);
        qn_option_get(now, &table[i], new_text, sizeof new_text);
        if (strcmp(old_text, new_text)) {
            return qn_error(QN_CODE_USAGE,
                            "--%s is %s, but %s has %s: a resumed run keeps it; leave the flag "
                            "out, or start a new run",
                            table[i].name, new_text, run_json, old_text);
        }
    }
    return QN_OK;
}

static qn_status check_folder(const session *s, bool resume) {
    if (!s->options.run[0]) return qn_error(QN_CODE_USAGE, "--run DIR is missing");
    if (!s->options.data[0]) return qn_error(QN_CODE_USAGE, "--data DIR is missing");
    char *run_json = run_path(s, "run.json");
    if (!run_json) return no_memory("a path");
    qn_status status = QN_OK;
    if (resume && qn_path_exists(run_json)) {
        status = check_same_options(&s->options, run_json);
    } else if (!resume && folder_has_entries(s->options.run)) {
        status = qn_error(QN_CODE_USAGE,
                          "%s exists already; --resume continues it, another --run begins anew",
                          s->options.run);
    }
    free(run_json);
    return status;
}

static qn_status write_folder(const session *s) {
    char *run_json = run_path(s, "run.json"), *config = run_path(s, "config.json");
    char *checkpoints = run_path(s, "checkpoints");
    qn_device_info device;
    qn_status status = run_json && config && checkpoints ? QN_OK : no_memory("a path");
    if (!status) status = s->backend->ops->device_info(s->backend, &device);
    if (!status) status = qn_dir_create(checkpoints);
    if (!status) status = qn_config_save(&qn_model_plan(s->model)->config, config);
    if (!status) status = qn_options_save(&s->options, &device, run_json);
    free(run_json);
    free(config);
    free(checkpoints);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------ */

/* The token between documents; -1 where it lies beyond the vocabulary, as what is assumed of
 * data that does not name its own may do. */
static int64_t boundary_id(const session *s, int64_t vocab_size) {
    return s->dataset.boundary_id < vocab_size ? s->dataset.boundary_id : -1;
}

static qn_status open_loaders(session *s, int64_t vocab_size) {
    const qn_loader_options train = {.seq_len = s->options.seq_len,
                                     .seed = (uint64_t)s->options.seed,
                                     .shuffle = 1,
                                     .boundary_id = boundary_id(s, vocab_size),
                                     .vocab_size = vocab_size};
    qn_loader_options val = train;
    val.shuffle = 0;
    val.overlap = (int64_t)(s->options.eval_overlap * (double)s->options.seq_len);
    QN_TRY(qn_loader_open(s->dataset.train_pattern, &train, &s->train_loader));
    return qn_loader_open(s->dataset.val_pattern, &val, &s->val_loader);
}

/* The config that the run began with, if it did, else what --model names. */
static qn_status open_config(const session *s, bool resume, qn_config *config) {
    char *saved = run_path(s, "config.json");
    if (!saved) return no_memory("a path");
    const bool begun = resume && qn_path_exists(saved);
    qn_status status =
        qn_model_source_config(begun ? saved : s->options.model, s->dataset.vocab_size, config);
    free(saved);
    if (status || begun) return status;
    if (config->vocab_size < s->dataset.vocab_size) {
        return qn_error(QN_CODE_USAGE,
                        "model %s has a vocabulary of %lld, and the data in %s one of %lld; "
                        "prepare the data with at most that --vocab-size",
                        s->options.model, (long long)config->vocab_size, s->options.data,
                        (long long)s->dataset.vocab_size);
    }
    const int64_t boundary = boundary_id(s, config->vocab_size);
    if (config->bos_id < 0) config->bos_id = boundary;
    if (config->eos_id < 0) config->eos_id = boundary;
    if (config->arch == QN_ARCH_LLAMA && config->max_seq_len < s->options.seq_len) {
        config->max_seq_len = s->options.seq_len;
    }
    return QN_OK;
}

static qn_status open_model(session *s, const qn_config *config) {
    const qn_plan_options plan = {.mode = QN_PLAN_TRAIN,
                                  .batch_size = s->options.batch_size,
                                  .seq_len = s->options.seq_len,
                                  .grad_accum = s->options.grad_accum,
                                  .recompute = (qn_recompute)s->options.recompute,
                                  .attention = (qn_attn_impl)s->options.attention,
                                  .compute = (qn_dtype)s->options.precision,
                                  .documents = s->options.documents};
    QN_TRY(qn_model_create(s->backend, config, &plan, &s->model));
    QN_TRY(qn_optimizer_make(qn_model_params(s->model), s->options.weight_decay, &s->optimizer));
    const size_t tokens = (size_t)(plan.batch_size * plan.seq_len);
    s->host = malloc(3 * tokens * sizeof *s->host);
    return s->host ? QN_OK : no_memory("a batch");
}

/* Parameters and position: of the last whole checkpoint, of --model's folder, or initial. */
static qn_status open_state(session *s, bool resume) {
    char *checkpoint = NULL;
    if (resume) {
        QN_TRY(qn_checkpoint_find(s->options.run, -1, note_from_below, s, &checkpoint));
    }
    if (!checkpoint) {
        if (resume) note(s, "no checkpoint yet: starting from the beginning");
        QN_TRY(qn_checkpoint_clean(s->options.run, 0));
        return qn_model_source_is_folder(s->options.model)
                   ? qn_model_load(s->model, s->options.model)
                   : qn_model_init(s->model, (uint64_t)s->options.seed);
    }
    qn_status status = qn_checkpoint_state(checkpoint, &s->state);
    if (!status) status = qn_checkpoint_load(checkpoint, s->model);
    if (!status) status = qn_checkpoint_clean(s->options.run, s->state.step);
    s->saved_step = s->state.step;
    free(checkpoint);
    return status;
}

static qn_status open_log(session *s) {
    char *path = run_path(s, "log.jsonl"), *lens = run_path(s, "lens.jsonl");
    qn_status status =
        path && lens ? qn_run_log_open(path, s->state.step, &s->log) : no_memory("a path");
    if (!status && qn_path_exists(lens)) {
        qn_run_log lens_log;
        status = qn_run_log_open(lens, s->state.step, &lens_log);
        qn_run_log_close(&lens_log);
    }
    free(path);
    free(lens);
    return status;
}

/* One process at a time writes to a run; the lock ends with the process. */
static qn_status lock_folder(session *s) {
    if (s->lock >= 0 || !qn_path_exists(s->options.run)) return QN_OK;
    s->lock = open(s->options.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock < 0) {
        return qn_error(QN_CODE_IO, "%s: cannot open the folder: %s", s->options.run,
                        strerror(errno));
    }
    if (!flock(s->lock, LOCK_EX | LOCK_NB)) return QN_OK;
    return qn_error(QN_CODE_USAGE, "%s: another process is training there; wait for it, or stop it",
                    s->options.run);
}

/* What a user would want to know before a long run. */
static qn_status note_emulation(const session *s) {
    qn_device_info device;
    QN_TRY(s->backend->ops->device_info(s->backend, &device));
    if (s->options.precision == QN_BF16 && !device.bf16_gemm) {
        note(s, "bf16 is emulated, which is slower than fp32: this CPU has no bf16 instructions, "
                "or this build no oneDNN");
    }
    return QN_OK;
}

static qn_status open_session(session *s, bool resume) {
    QN_TRY(check_folder(s, resume));
    QN_TRY(lock_folder(s));
    QN_TRY(qn_comm_open(&s->comm));
    QN_TRY(qn_backend_open(s->options.backend, (int)s->options.threads, &s->backend));
    QN_TRY(note_emulation(s));
    QN_TRY(qn_dataset_open(s->options.data, &s->dataset));
    qn_config config;
    QN_TRY(open_config(s, resume, &config));
    QN_TRY(open_loaders(s, config.vocab_size));
    QN_TRY(open_model(s, &config));
    QN_TRY(open_state(s, resume));
    QN_TRY(write_folder(s));
    QN_TRY(lock_folder(s));
    QN_TRY(open_log(s));
    s->begun = qn_clock() - s->state.seconds;
    return QN_OK;
}

static void close_session(session *s) {
    if (s->lock >= 0) close(s->lock);
    qn_run_log_close(&s->log);
    free(s->host);
    qn_optimizer_free(&s->optimizer);
    qn_model_destroy(s->model);
    qn_loader_close(s->val_loader);
    qn_loader_close(s->train_loader);
    qn_dataset_close(&s->dataset);
    if (s->backend) s->backend->ops->close(s->backend);
    if (s->comm) s->comm->ops->close(s->comm);
}

/* ---- one step ------------------------------------------------------------------------------- */

static int64_t batch_tokens(const session *s) { return s->options.batch_size * s->options.seq_len; }

/* Tokens of a step over all ranks. */
static int64_t step_tokens(const session *s) {
    return batch_tokens(s) * s->options.grad_accum * s->comm->n_ranks;
}

/* The next micro-batch of this rank; ranks take turns of B sequences. */
static qn_status next_batch(session *s, int64_t micro_step, qn_batch *batch) {
    const int64_t B = s->options.batch_size, T = s->options.seq_len, N = B * T;
    const int64_t first = s->state.sequences + (micro_step * s->comm->n_ranks + s->comm->rank) * B;
    int32_t *tokens = s->host, *targets = tokens + N, *doc_start = targets + N;
    for (int64_t b = 0; b < B; b++) {
        QN_TRY(qn_loader_fill(s->train_loader, first + b, tokens + b * T, targets + b * T,
                              doc_start + b * T));
    }
    *batch = (qn_batch){tokens, targets, doc_start};
    return QN_OK;
}

/* Sums a range of gradients over the ranks as soon as it is final. */
static qn_status reduce_gradients(void *context, int64_t offset, int64_t count, qn_stream *stream) {
    session *s = context;
    float *grads = qn_model_buffer(s->model, QN_BUF_GRADS);
    return s->comm->ops->all_reduce(s->comm, stream, grads + offset, count);
}

static qn_status read_norm(session *s, double *norm) {
    const qn_ops *ops = s->backend->ops;
    qn_stream *stream = qn_model_stream(s->model);
    float sumsq;
    QN_TRY(ops->copy(stream, &sumsq, qn_model_buffer(s->model, QN_BUF_GRAD_SUMSQ), sizeof sumsq,
                     QN_COPY_TO_HOST));
    QN_TRY(ops->stream_sync(stream));
    *norm = sqrt(sumsq);
    return QN_OK;
}

/* `name` and `value`: the number that is not finite. */
static qn_status not_finite(const session *s, int64_t step, const char *name, double value) {
    char saved[64] = "nothing was saved yet";
    if (s->saved_step) {
        snprintf(saved, sizeof saved, "the checkpoint of step %lld stays",
                 (long long)s->saved_step);
    }
    return qn_error(QN_CODE_NUMERIC,
                    "step %lld: the %s is %g, expected a finite number; a lower --lr, a longer "
                    "--warmup or a smaller --clip may help (%s)",
                    (long long)step, name, value, saved);
}

static qn_status train_step(session *s, qn_step_report *report) {
    const int64_t step = s->state.step + 1, G = s->options.grad_accum;
    const double started = qn_clock();
    qn_stream *stream = qn_model_stream(s->model);
    double loss_sum, norm;
    QN_TRY(qn_model_zero_grads(s->model));
    for (int64_t g = 0; g < G; g++) {
        qn_batch batch;
        const bool last = g == G - 1;
        QN_TRY(next_batch(s, g, &batch));
        QN_TRY(qn_model_forward(s->model, &batch, g, 1.0f / (float)step_tokens(s)));
        QN_TRY(qn_model_backward(s->model, last ? reduce_gradients : NULL, s));
    }
    QN_TRY(
        s->comm->ops->all_reduce(s->comm, stream, qn_model_buffer(s->model, QN_BUF_LOSS_SUMS), G));
    const double lr = qn_learning_rate(&s->options, step);
    QN_TRY(qn_optimizer_step(&s->optimizer, s->model, &s->options, step, lr));
    QN_TRY(qn_model_loss_sum(s->model, G, &loss_sum));
    QN_TRY(read_norm(s, &norm));
    const double loss = loss_sum / (double)step_tokens(s);
    if (!isfinite(loss)) return not_finite(s, step, "loss", loss);
    if (!isfinite(norm)) return not_finite(s, step, "gradient's norm", norm);

    s->state.step = step;
    s->state.tokens += step_tokens(s);
    s->state.sequences += s->options.batch_size * G * s->comm->n_ranks;
    s->state.seconds = qn_clock() - s->begun;
    const qn_plan *plan = qn_model_plan(s->model);
    *report = (qn_step_report){.step = step,
                               .steps = s->options.steps,
                               .tokens = s->state.tokens,
                               .loss = loss,
                               .lr = lr,
                               .grad_norm = norm,
                               .tokens_per_s = (double)step_tokens(s) / (qn_clock() - started),
                               .seconds = s->state.seconds};
    report->flops_per_s =
        report->tokens_per_s *
        qn_plan_flops_per_token(&plan->config, qn_model_params(s->model), s->options.seq_len);
    return QN_OK;
}

/* ---- what happens between steps ---------------------------------------------------------- */

static qn_status log_step(session *s, const qn_step_report *r) {
    char line[512];
    snprintf(line, sizeof line,
             "{\"step\":%lld,\"tokens\":%lld,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,"
             "\"tokens_per_s\":%.1f,\"seconds\":%.3f}",
             (long long)r->step, (long long)r->tokens, r->loss, r->lr, r->grad_norm,
             r->tokens_per_s, r->seconds);
    return qn_run_log_append(&s->log, line);
}

static qn_status evaluate(session *s, qn_step_report *r) {
    qn_eval_result result;
    const bool last = s->state.step == s->options.steps;
    QN_TRY(qn_evaluate(s->model, &s->dataset, s->val_loader,
                       last ? INT64_MAX : s->options.eval_tokens, &result));
    if (!isfinite(result.loss)) {
        return not_finite(s, r->step, "held-out loss after its update", result.loss);
    }
    r->evaluated = true;
    r->val_loss = result.loss;
    r->bits_per_byte = result.bits_per_byte;
    char line[256], bits[32] = "null";
    if (isfinite(result.bits_per_byte)) snprintf(bits, sizeof bits, "%.9g", result.bits_per_byte);
    snprintf(line, sizeof line, "{\"step\":%lld,\"val_loss\":%.9g,\"bits_per_byte\":%s}",
             (long long)r->step, result.loss, bits);
    return qn_run_log_append(&s->log, line);
}

static qn_status save(session *s) {
    s->state.seconds = qn_clock() - s->begun;
    qn_status status = qn_run_log_sync(&s->log);
    if (!status) {
        status = qn_checkpoint_save(s->options.run, s->model, &s->state, s->options.data,
                                    s->options.keep_last, s->options.keep_every);
    }
    if (!status) s->saved_step = s->state.step;
    return qn_context(status, "step %lld could not be saved; --resume goes on from step %lld",
                      (long long)s->state.step, (long long)s->saved_step);
}

static bool due(int64_t step, int64_t every) { return every && step % every == 0; }

static qn_status run(session *s, qn_train_result *out) {
    const qn_train_options *o = &s->options;
    while (s->state.step < o->steps && !out->interrupted) {
        qn_step_report *report = &out->last;
        QN_TRY(train_step(s, report));
        const bool end = s->state.step == o->steps;
        QN_TRY(log_step(s, report));
        if (end || due(s->state.step, o->eval_every)) QN_TRY(evaluate(s, report));
        out->interrupted =
            !end && s->hooks->should_stop && s->hooks->should_stop(s->hooks->context);
        if (end || out->interrupted || due(s->state.step, o->save_every)) QN_TRY(save(s));
        if (s->hooks->on_step) s->hooks->on_step(s->hooks->context, report);
    }
    out->saved_step = s->saved_step;
    return QN_OK;
}

qn_status qn_train(const qn_train_options *options, bool resume, const qn_train_hooks *hooks,
                   qn_train_result *out) {
    session s = {.options = *options, .hooks = hooks, .lock = -1, .log = {.file = -1}};
    *out = (qn_train_result){0};
    qn_status status = open_session(&s, resume);
    if (!status) status = run(&s, out);
    close_session(&s);
    return status;
}
