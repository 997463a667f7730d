/* training.c: a planted task's data, its training, and the model that comes of it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planted/experiment.h"
#include "quern/backend.h"
#include "quern/files.h"

enum { HELD_OUT = 512, HEADS = 4, HEAD_DIM = 16, LONGEST = 128 };

typedef struct paths {
    char *data, *run, *config;
} paths;

static void free_paths(paths *p) {
    free(p->data);
    free(p->run);
    free(p->config);
}

static qn_status make_paths(const qn_garden *garden, const char *name, paths *out) {
    const char *folder = garden->options->folder;
    *out = (paths){.data = qn_path("%s/%s/data", folder, name),
                   .run = qn_path("%s/%s/run", folder, name),
                   .config = qn_path("%s/%s/config.json", folder, name)};
    if (out->data && out->run && out->config) return QN_OK;
    free_paths(out);
    return qn_error(QN_CODE_MEMORY, "no memory for a path");
}

/* ---- what is trained ------------------------------------------------------------------------ */

/* Embeddings of 0.05 rather than the usual 0.02 keep the plateau of T1 shorter than its run. */
static qn_config make_config(const qn_planting *p) {
    qn_config config = {.arch = QN_ARCH_LLAMA,
                        .architecture = "LlamaForCausalLM",
                        .vocab_size = p->task->vocab_size,
                        .n_layers = p->n_layers,
                        .hidden_size = HEADS * HEAD_DIM,
                        .n_heads = HEADS,
                        .n_kv_heads = HEADS,
                        .head_dim = HEAD_DIM,
                        .ffn_size = p->ffn_size,
                        .max_seq_len = LONGEST,
                        .rope_theta = 10000,
                        .norm_eps = 1e-5,
                        .init_std = 0.05,
                        .bos_id = -1,
                        .eos_id = -1};
    return config;
}

static qn_status set_text(qn_train_options *o, const char *name, const char *text) {
    return qn_option_set(o, qn_option_find(name), text, "self-test");
}

static qn_status make_options(const qn_garden *garden, const qn_planting *p, const paths *at,
                              qn_train_options *o) {
    qn_options_default(o);
    QN_TRY(set_text(o, "data", at->data));
    QN_TRY(set_text(o, "run", at->run));
    QN_TRY(set_text(o, "model", at->config));
    QN_TRY(set_text(o, "backend", garden->options->backend));
    o->threads = garden->options->threads;
    o->seed = (int64_t)garden->options->seed;
    o->seq_len = p->task->examples.length - 1;
    o->batch_size = p->batch_size;
    o->steps = p->steps;
    o->lr = p->lr;
    o->min_lr = 0;
    o->warmup = p->warmup;
    o->schedule = QN_SCHEDULE_WSD;
    o->decay = p->decay;
    o->weight_decay = p->weight_decay;
    o->eval_every = o->save_every = 0;
    o->lens_every = p->lens_every;
    return QN_OK;
}

/* ---- training ------------------------------------------------------------------------------- */

typedef struct watch {
    const qn_planted_hooks *hooks;
    qn_trained *out;
} watch;

static bool should_stop(void *context) {
    const qn_planted_hooks *hooks = ((watch *)context)->hooks;
    return hooks->should_stop && hooks->should_stop(hooks->context);
}

static void on_step(void *context, const qn_step_report *report) {
    const watch *w = context;
    w->out->losses[w->out->n_losses++] = report->loss;
    if (w->hooks->on_step) w->hooks->on_step(w->hooks->context, report);
}

static qn_status train(const qn_garden *garden, const char *name, const qn_train_options *options,
                       qn_trained *out) {
    watch w = {garden->hooks, out};
    const qn_train_hooks hooks = {&w, should_stop, on_step, NULL};
    qn_train_result result;
    out->losses = malloc((size_t)options->steps * sizeof *out->losses);
    if (!out->losses) return qn_error(QN_CODE_MEMORY, "no memory for losses");
    if (garden->hooks->on_training)
        garden->hooks->on_training(garden->hooks->context, name, options);
    QN_TRY(qn_train(options, false, &hooks, &result));
    if (result.interrupted)
        return qn_error(QN_CODE_IO, "stopped at step %" PRId64 " of %s", result.last.step, name);
    out->held_out = result.last.val_loss;
    return QN_OK;
}

/* ---- the model that came of it --------------------------------------------------------------- */

static qn_status open_model(const qn_garden *garden, const qn_planting *p, qn_plan_mode mode,
                            qn_trained *out) {
    const qn_config config = make_config(p);
    qn_plan_options plan = {.mode = mode,
                            .batch_size = p->batch_size,
                            .seq_len = p->task->examples.length - 1,
                            .grad_accum = 1};
    char *note;
    QN_TRY(qn_backend_open(garden->options->backend, (int)garden->options->threads, &out->backend,
                           &note));
    free(note);
    QN_TRY(qn_plan_set_precision(out->backend, QN_PRECISION_AUTO, &plan));
    return qn_model_create(out->backend, &config, &plan, &out->model);
}

qn_status qn_plant_nothing(const qn_garden *garden, const qn_planting *p, qn_plan_mode mode,
                           qn_trained *out) {
    *out = (qn_trained){0};
    qn_status status = open_model(garden, p, mode, out);
    if (!status) status = qn_model_init(out->model, garden->options->seed);
    if (status) qn_trained_free(out);
    return status;
}

static qn_status open_last(const qn_garden *garden, const qn_planting *p, const char *run,
                           qn_trained *out) {
    char *checkpoint;
    QN_TRY(qn_checkpoint_find(run, p->steps, NULL, NULL, &checkpoint));
    qn_status status = open_model(garden, p, QN_PLAN_INSPECT, out);
    if (!status) status = qn_model_load(out->model, checkpoint);
    free(checkpoint);
    return status;
}

static qn_status plant(const qn_garden *garden, const qn_planting *p, const paths *at,
                       qn_trained *out) {
    const qn_config config = make_config(p);
    qn_train_options options;
    QN_TRY(qn_task_write(p->task, at->data, garden->options->seed, p->steps * p->batch_size,
                         HELD_OUT));
    QN_TRY(qn_config_save(&config, at->config));
    QN_TRY(make_options(garden, p, at, &options));
    QN_TRY(train(garden, p->name, &options, out));
    return open_last(garden, p, at->run, out);
}

qn_status qn_plant(qn_garden *garden, const qn_planting *p, qn_trained *out) {
    paths at;
    *out = (qn_trained){0};
    QN_TRY(make_paths(garden, p->name, &at));
    qn_status status = plant(garden, p, &at, out);
    free_paths(&at);
    if (status) qn_trained_free(out);
    return status;
}

void qn_trained_free(qn_trained *t) {
    qn_model_destroy(t->model);
    if (t->backend) t->backend->ops->close(t->backend);
    free(t->losses);
    *t = (qn_trained){0};
}
