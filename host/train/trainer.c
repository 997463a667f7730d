/* trainer.c: a training run from its options to its last checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "quern/backend.h"
#include "quern/clock.h"
#include "quern/comm.h"
#include "quern/files.h"
#include "quern/model_source.h"
#include "quern/optimizer.h"
#include "quern/range.h"
#include "quern/snapshot.h"
#include "quern/step.h"
#include "quern/train.h"
#include "train/lens_log.h"
#include "train/run_log.h"
#include "train/schedule.h"

/* All that a run holds open. */
typedef struct training {
    qn_train_options options;
    const qn_train_hooks *hooks;
    qn_comm *comm;
    qn_backend *backend;
    qn_dataset dataset;
    qn_loader *train_loader, *val_loader;
    qn_model *model;
    qn_stepper *stepper;
    qn_run_log log, lens_log;
    qn_lens *lens; /* NULL where nothing is sampled */
    qn_train_state state;
    char data_before[QN_OPTION_TEXT]; /* the folder that run.json names, on a resume */
    bool has_next;                    /* the stepper has the micro-batch that comes next */
    double begun;                     /* clock at which `seconds` of training would be 0 */
    int64_t saved_step;
    int lock; /* on the run's folder; -1 before it is taken */
} training;

static void note(const training *t, const char *message) {
    if (t->hooks->on_note) t->hooks->on_note(t->hooks->context, message);
}

static void note_from_below(void *context, const char *message) { note(context, message); }

/* A path below the run's folder; NULL when out of memory. */
static char *run_path(const training *t, const char *name) {
    return qn_path("%s/%s", t->options.run, name);
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
static qn_status check_same_options(training *t, const char *run_json) {
    const qn_train_options *now = &t->options;
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
    strcpy(t->data_before, before.data);
    return QN_OK;
}

static qn_status check_folder(training *t, bool resume) {
    if (!t->options.run[0]) return qn_error(QN_CODE_USAGE, "--run DIR is missing");
    if (!t->options.data[0]) return qn_error(QN_CODE_USAGE, "--data DIR is missing");
    char *run_json = run_path(t, "run.json");
    if (!run_json) return no_memory("a path");
    qn_status status = QN_OK;
    if (resume && qn_path_exists(run_json)) {
        status = check_same_options(t, run_json);
    } else if (!resume && folder_has_entries(t->options.run)) {
        status = qn_error(QN_CODE_USAGE,
                          "%s exists already; --resume continues it, another --run begins anew",
                          t->options.run);
    }
    free(run_json);
    return status;
}

static qn_status write_run_json(const training *t, const char *path) {
    qn_environment now = {.precision = qn_model_plan(t->model)->options.compute,
                          .data = t->state.data,
                          .step = t->state.step};
    char *change;
    QN_TRY(t->backend->ops->device_info(t->backend, &now.device));
    QN_TRY(qn_options_save(&t->options, &now, path, &change));
    char *line =
        change ? qn_path("%s: losses may differ from those of an uninterrupted run", change) : NULL;
    if (line) note(t, line);
    free(line);
    free(change);
    return QN_OK;
}

static qn_status write_folder(const training *t) {
    char *run_json = run_path(t, "run.json"), *config = run_path(t, "config.json");
    char *checkpoints = run_path(t, "checkpoints");
    qn_status status = run_json && config && checkpoints ? QN_OK : no_memory("a path");
    if (!status) status = qn_dir_create(checkpoints);
    if (!status) status = qn_config_save(&qn_model_plan(t->model)->config, config);
    if (!status) status = write_run_json(t, run_json);
    free(run_json);
    free(config);
    free(checkpoints);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------ */

/* The token between documents; -1 where it lies beyond the vocabulary, as what is assumed of
 * data that does not name its own may do. */
static int64_t boundary_id(const training *t, int64_t vocab_size) {
    return t->dataset.boundary_id < vocab_size ? t->dataset.boundary_id : -1;
}

static qn_status open_loaders(training *t, int64_t vocab_size) {
    const qn_loader_options train = {.seq_len = t->options.seq_len,
                                     .seed = (uint64_t)t->options.seed,
                                     .shuffle = 1,
                                     .boundary_id = boundary_id(t, vocab_size),
                                     .vocab_size = vocab_size,
                                     .examples = t->dataset.examples};
    qn_loader_options val = train;
    val.shuffle = 0;
    if (!train.examples.length)
        val.overlap = (int64_t)(t->options.eval_overlap * (double)t->options.seq_len);
    QN_TRY(qn_loader_open(t->dataset.train_pattern, &train, &t->train_loader));
    return qn_loader_open(t->dataset.val_pattern, &val, &t->val_loader);
}

/* The config that the run began with, if it did, else what --model names. */
static qn_status open_config(const training *t, bool resume, qn_config *config) {
    char *saved = run_path(t, "config.json");
    if (!saved) return no_memory("a path");
    const bool begun = resume && qn_path_exists(saved);
    qn_status status =
        qn_model_source_config(begun ? saved : t->options.model, t->dataset.vocab_size, config);
    free(saved);
    if (!status) {
        status = qn_dataset_check_vocab(&t->dataset, t->options.data, config->vocab_size,
                                        t->options.model);
    }
    if (status || begun) return status;
    const int64_t boundary = boundary_id(t, config->vocab_size);
    if (config->bos_id < 0) config->bos_id = boundary;
    if (config->eos_id < 0) config->eos_id = boundary;
    if (config->arch == QN_ARCH_LLAMA && config->max_seq_len < t->options.seq_len) {
        config->max_seq_len = t->options.seq_len;
    }
    return QN_OK;
}

static qn_status open_model(training *t, const qn_config *config) {
    qn_plan_options plan = qn_options_plan(&t->options);
    QN_TRY(qn_plan_set_precision(t->backend, (qn_precision)t->options.precision, &plan));
    QN_TRY(qn_optimizer_check(&plan, &t->options));
    QN_TRY(qn_model_create(t->backend, config, &plan, &t->model));
    if (t->options.lens_every) QN_TRY(qn_lens_open(t->model, &t->lens));
    return qn_stepper_open(t->model, &t->options, qn_loader_targets(t->train_loader), t->comm,
                           &t->stepper);
}

/* A checkpoint goes on with the text that it was trained on, wherever that lies now. */
static qn_status check_same_data(const training *t, const char *checkpoint,
                                 const qn_fingerprint *now) {
    const qn_fingerprint *before = &t->state.data;
    if (!before->shards) {
        note(t, "the checkpoint does not tell its data: they are taken to be the same");
        return QN_OK;
    }
    if (qn_fingerprint_equal(before, now)) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--data %s has %lld shards with %lld tokens in %lld bytes, fingerprint "
                    "%016" PRIx64 ", but %s was trained on %lld shards with %lld tokens in %lld "
                    "bytes, fingerprint %016" PRIx64 " (then in %s): name the folder that holds "
                    "these now, or start a new run",
                    t->options.data, (long long)now->shards, (long long)now->tokens,
                    (long long)now->bytes, now->hash, checkpoint, (long long)before->shards,
                    (long long)before->tokens, (long long)before->bytes, before->hash,
                    t->data_before);
}

static qn_status load_checkpoint(training *t, const char *checkpoint) {
    qn_fingerprint data;
    qn_loader_fingerprint(t->train_loader, &data);
    QN_TRY(qn_checkpoint_state(checkpoint, &t->state));
    QN_TRY(check_same_data(t, checkpoint, &data));
    t->state.data = data;
    QN_TRY(qn_checkpoint_load(checkpoint, t->model));
    QN_TRY(qn_optimizer_resume(t->model, &t->options, t->state.step));
    t->saved_step = t->state.step;
    return QN_OK;
}

/* Parameters and position: of the last whole checkpoint, of --model's folder, or initial. */
static qn_status open_state(training *t, bool resume) {
    char *checkpoint = NULL;
    if (resume) {
        QN_TRY(qn_checkpoint_find(t->options.run, -1, note_from_below, t, &checkpoint));
    }
    if (!checkpoint) {
        if (resume) note(t, "no checkpoint yet: starting from the beginning");
        qn_loader_fingerprint(t->train_loader, &t->state.data);
        return qn_model_source_is_folder(t->options.model)
                   ? qn_model_load(t->model, t->options.model)
                   : qn_model_init(t->model, (uint64_t)t->options.seed);
    }
    qn_status status = load_checkpoint(t, checkpoint);
    free(checkpoint);
    return status;
}

/* What an inspection found of checkpoints that the run has left behind. */
static qn_status cut_inspection(const training *t) {
    char *figures = run_path(t, "inspect.jsonl"), *pictures = run_path(t, "pictures.jsonl");
    qn_status status =
        figures && pictures ? qn_run_log_cut(figures, t->state.step) : no_memory("a path");
    if (!status) status = qn_run_log_cut(pictures, t->state.step);
    free(figures);
    free(pictures);
    return status;
}

static qn_status open_log(training *t) {
    char *path = run_path(t, "log.jsonl"), *lens = run_path(t, "lens.jsonl");
    qn_status status =
        path && lens ? qn_run_log_open(path, t->state.step, &t->log) : no_memory("a path");
    if (!status && (t->lens || qn_path_exists(lens)))
        status = qn_run_log_open(lens, t->state.step, &t->lens_log);
    if (!status) status = cut_inspection(t);
    free(path);
    free(lens);
    return status;
}

/* One process at a time writes to a run; the lock ends with the process. */
static qn_status lock_folder(training *t) {
    if (t->lock >= 0 || !qn_path_exists(t->options.run)) return QN_OK;
    t->lock = open(t->options.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0) {
        return qn_error(QN_CODE_IO, "%s: cannot open the folder: %s", t->options.run,
                        strerror(errno));
    }
    if (!flock(t->lock, LOCK_EX | LOCK_NB)) return QN_OK;
    return qn_error(QN_CODE_USAGE, "%s: another process is training there; wait for it, or stop it",
                    t->options.run);
}

/* What a user would want to know before a long run. */
static qn_status note_emulation(const training *t) {
    qn_device_info device;
    QN_TRY(t->backend->ops->device_info(t->backend, &device));
    if (qn_model_plan(t->model)->options.compute == QN_BF16 && !device.bf16_gemm) {
        note(t, "bf16 is emulated, which is slower than fp32: this CPU has no bf16 instructions, "
                "or this build no oneDNN");
    }
    return QN_OK;
}

static qn_status open_backend(training *t) {
    char *passed_over;
    QN_TRY(qn_backend_open(t->options.backend, (int)t->options.threads, &t->backend, &passed_over));
    if (passed_over) note(t, passed_over);
    free(passed_over);
    return QN_OK;
}

static qn_status open_training(training *t, bool resume) {
    QN_TRY(check_folder(t, resume));
    QN_TRY(lock_folder(t));
    QN_TRY(qn_comm_open(&t->comm));
    QN_TRY(open_backend(t));
    QN_TRY(qn_dataset_open(t->options.data, &t->dataset));
    qn_config config;
    QN_TRY(open_config(t, resume, &config));
    QN_TRY(open_loaders(t, config.vocab_size));
    QN_TRY(open_model(t, &config));
    QN_TRY(note_emulation(t));
    QN_TRY(open_state(t, resume));
    QN_TRY(qn_checkpoint_clean(t->options.run, t->state.step));
    QN_TRY(qn_snapshot_clean(t->options.run, t->state.step));
    QN_TRY(write_folder(t));
    QN_TRY(lock_folder(t));
    QN_TRY(open_log(t));
    t->begun = qn_clock() - t->state.seconds;
    return QN_OK;
}

static void close_training(training *t) {
    if (t->lock >= 0) close(t->lock);
    qn_run_log_close(&t->log);
    qn_run_log_close(&t->lens_log);
    qn_lens_close(t->lens);
    qn_stepper_close(t->stepper);
    qn_model_destroy(t->model);
    qn_loader_close(t->val_loader);
    qn_loader_close(t->train_loader);
    qn_dataset_close(&t->dataset);
    if (t->backend) t->backend->ops->close(t->backend);
    if (t->comm) t->comm->ops->close(t->comm);
}

/* ---- one step ------------------------------------------------------------------------------- */

/* Fills the micro-batch of this rank that is `micro_step` after the step's first; ranks take turns
 * of B sequences. */
static qn_status fill_next(training *t, int64_t micro_step) {
    const int64_t B = t->options.batch_size, T = t->options.seq_len;
    const int64_t first = t->state.sequences + (micro_step * t->comm->n_ranks + t->comm->rank) * B;
    int32_t *tokens, *targets, *doc_start;
    QN_TRY(qn_stepper_input(t->stepper, &tokens, &targets, &doc_start));
    for (int64_t b = 0; b < B; b++) {
        QN_TRY(qn_loader_fill(t->train_loader, first + b, tokens + b * T, targets + b * T,
                              doc_start + b * T));
    }
    t->has_next = true;
    return QN_OK;
}

/* Enqueues micro-step g and, while the device is at work, fills the next one. */
static qn_status run_micro_step(training *t, int64_t g, int64_t step, double lr) {
    if (!t->has_next) QN_TRY(fill_next(t, g));
    QN_TRY(qn_stepper_pass(t->stepper, g, step, lr));
    t->has_next = false;
    const bool ends = g + 1 == t->options.grad_accum && step == t->options.steps;
    return ends ? QN_OK : fill_next(t, g + 1);
}

/* `name` and `value`: the number that is not finite. */
static qn_status not_finite(const training *t, int64_t step, const char *name, double value) {
    char saved[64] = "nothing was saved yet";
    if (t->saved_step) {
        snprintf(saved, sizeof saved, "the checkpoint of step %lld stays",
                 (long long)t->saved_step);
    }
    return qn_error(QN_CODE_NUMERIC,
                    "step %lld: the %s is %g, expected a finite number; a lower --lr, a longer "
                    "--warmup or a smaller --clip may help (%s)",
                    (long long)step, name, value, saved);
}

/* The first step, whose attention is that of the initial weights, and every lens_every-th. */
static bool is_sampled(const training *t, int64_t step) {
    return t->lens && (step == 1 || step % t->options.lens_every == 0);
}

static qn_status train_step(training *t, qn_step_report *report) {
    const int64_t step = t->state.step + 1, G = t->options.grad_accum;
    const int64_t tokens = qn_step_tokens(&t->options, t->comm);
    const bool samples = is_sampled(t, step);
    const double started = qn_clock(), lr = qn_learning_rate(&t->options, step);
    double loss_sum, norm;
    if (samples) QN_TRY(qn_lens_begin(t->lens));
    for (int64_t g = 0; g < G; g++) QN_TRY(run_micro_step(t, g, step, lr));
    if (samples) QN_TRY(qn_lens_end(t->lens));
    QN_TRY(qn_stepper_result(t->stepper, &loss_sum, &norm));
    const double loss = loss_sum / (double)qn_stepper_targets(t->stepper);
    if (!isfinite(loss)) return not_finite(t, step, "loss", loss);
    if (!isfinite(norm)) return not_finite(t, step, "gradient's norm", norm);

    t->state.step = step;
    t->state.tokens += tokens;
    t->state.sequences += t->options.batch_size * G * t->comm->n_ranks;
    t->state.seconds = qn_clock() - t->begun;
    const qn_plan *plan = qn_model_plan(t->model);
    *report = (qn_step_report){.step = step,
                               .steps = t->options.steps,
                               .tokens = t->state.tokens,
                               .loss = loss,
                               .lr = lr,
                               .grad_norm = norm,
                               .tokens_per_s = (double)tokens / (qn_clock() - started),
                               .seconds = t->state.seconds};
    report->flops_per_s =
        report->tokens_per_s *
        qn_plan_flops_per_token(&plan->config, qn_model_params(t->model), t->options.seq_len);
    return QN_OK;
}

/* ---- what happens between steps ---------------------------------------------------------- */

static qn_status log_step(training *t, const qn_step_report *r) {
    char line[512];
    snprintf(line, sizeof line,
             "{\"step\":%lld,\"tokens\":%lld,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,"
             "\"tokens_per_s\":%.1f,\"seconds\":%.3f}",
             (long long)r->step, (long long)r->tokens, r->loss, r->lr, r->grad_norm,
             r->tokens_per_s, r->seconds);
    return qn_run_log_append(&t->log, line);
}

static qn_status log_sample(training *t, const qn_step_report *r) {
    const qn_lens_figure *figures;
    int64_t count;
    QN_TRY(qn_lens_read(t->lens, &figures, &count));
    QN_TRY(qn_lens_log_figures(figures, count, r->step, r->tokens, &t->lens_log));
    qn_lens_figures gradients = {0};
    qn_status status = qn_lens_gradients(t->model, &gradients);
    if (!status)
        status =
            qn_lens_log_figures(gradients.items, gradients.count, r->step, r->tokens, &t->lens_log);
    qn_lens_figures_free(&gradients);
    return status;
}

static qn_status evaluate(training *t, qn_step_report *r) {
    qn_eval_result result;
    const bool last = t->state.step == t->options.steps;
    QN_TRY(qn_evaluate(t->model, &t->dataset, t->val_loader,
                       last ? INT64_MAX : t->options.eval_tokens, &result));
    if (!isfinite(result.loss)) {
        return not_finite(t, r->step, "held-out loss after its update", result.loss);
    }
    r->evaluated = true;
    r->val_loss = result.loss;
    r->bits_per_byte = result.bits_per_byte;
    char line[256], bits[32] = "null";
    if (isfinite(result.bits_per_byte)) snprintf(bits, sizeof bits, "%.9g", result.bits_per_byte);
    snprintf(line, sizeof line, "{\"step\":%lld,\"val_loss\":%.9g,\"bits_per_byte\":%s}",
             (long long)r->step, result.loss, bits);
    return qn_run_log_append(&t->log, line);
}

static qn_status save(training *t) {
    t->state.seconds = qn_clock() - t->begun;
    qn_status status = qn_run_log_sync(&t->log);
    if (!status && t->lens) status = qn_run_log_sync(&t->lens_log);
    if (!status) {
        status = qn_checkpoint_save(t->options.run, t->model, &t->state, t->options.data,
                                    t->options.keep_last, t->options.keep_every);
    }
    if (!status) t->saved_step = t->state.step;
    return qn_context(status, "step %lld could not be saved; --resume goes on from step %lld",
                      (long long)t->state.step, (long long)t->saved_step);
}

static qn_status probe(const training *t) {
    const qn_train_options *o = &t->options;
    const int64_t step = t->state.step;
    if (!qn_snapshot_due(step, o->lens_probes, o->steps)) return QN_OK;
    return qn_context(qn_snapshot_save(o->run, t->model, step, t->state.tokens, o->data),
                      "the probe of step %lld could not be saved; --resume goes on from step %lld",
                      (long long)step, (long long)t->saved_step);
}

/* That of the step from which the run goes on, which may be there and whole. */
static qn_status first_probe(const training *t) {
    if (!t->options.lens_probes) return QN_OK;
    char *path;
    qn_status missing = qn_snapshot_find(t->options.run, t->state.step, &path, NULL);
    free(path);
    if (!missing) return QN_OK;
    qn_status_free(missing);
    return probe(t);
}

static bool due(int64_t step, int64_t every) { return every && step % every == 0; }

static qn_status run(training *t, qn_train_result *out) {
    const qn_train_options *o = &t->options;
    QN_TRY(first_probe(t));
    while (t->state.step < o->steps && !out->interrupted) {
        qn_step_report *report = &out->last;
        QN_TRY_IN(t->backend, "step", train_step(t, report));
        const bool end = t->state.step == o->steps;
        QN_TRY(log_step(t, report));
        if (is_sampled(t, report->step)) QN_TRY(log_sample(t, report));
        if (end || due(t->state.step, o->eval_every))
            QN_TRY_IN(t->backend, "evaluation", evaluate(t, report));
        out->interrupted =
            !end && t->hooks->should_stop && t->hooks->should_stop(t->hooks->context);
        if (end || out->interrupted || due(t->state.step, o->save_every))
            QN_TRY_IN(t->backend, "checkpoint", save(t));
        QN_TRY_IN(t->backend, "probe", probe(t));
        if (t->hooks->on_step) t->hooks->on_step(t->hooks->context, report);
    }
    out->saved_step = t->saved_step;
    return QN_OK;
}

qn_status qn_train(const qn_train_options *options, bool resume, const qn_train_hooks *hooks,
                   qn_train_result *out) {
    training t = {.options = *options,
                  .hooks = hooks,
                  .lock = -1,
                  .log = {.file = -1},
                  .lens_log = {.file = -1}};
    *out = (qn_train_result){0};
    qn_status status = open_training(&t, resume);
    if (!status) status = run(&t, out);
    close_training(&t);
    return status;
}
