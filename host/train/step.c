/* step.c: training steps, recorded where the backend can. A step of a small model is hundreds of
 * short operations; recorded, they follow each other without a word from the host. */
#include "quern/step.h"

#include <stdlib.h>

#include "quern/optimizer.h"
#include "quern/range.h"
#include "train/input.h"

/* What a recorded micro-step was recorded with: another one with the same is the same work. */
typedef struct recipe {
    qn_batch batch; /* in the input's memory, read again at each launch */
    bool first, last;
    int64_t slot; /* of its loss */
    const qn_attn_stats *stats;
} recipe;

typedef struct recording {
    recipe of;
    qn_graph *graph; /* NULL: it ran once as it is, so that all that it needs is set up */
} recording;

/* Both slots of the input, the first, middle and last micro-step, with statistics and without. */
enum { MOST_RECORDINGS = 2 * QN_INPUT_SLOTS * 3 };

struct qn_stepper {
    qn_model *model;
    const qn_train_options *options;
    int64_t targets; /* of a sequence */
    qn_comm *comm;
    const qn_ops *ops;
    qn_stream *stream;
    qn_optimizer optimizer;
    qn_input input;
    qn_batch next; /* the micro-batch that was filled in */
    bool records;  /* the backend records graphs */
    recording recordings[MOST_RECORDINGS];
    int n_recordings;
};

int64_t qn_step_tokens(const qn_train_options *options, const qn_comm *comm) {
    return options->batch_size * options->seq_len * options->grad_accum * comm->n_ranks;
}

int64_t qn_stepper_targets(const qn_stepper *s) {
    return s->options->batch_size * s->targets * s->options->grad_accum * s->comm->n_ranks;
}

/* ---- opening ---------------------------------------------------------------------------- */

static qn_status prepare(qn_stepper *s) {
    qn_backend *backend = qn_model_backend(s->model);
    qn_device_info device;
    QN_TRY(backend->ops->device_info(backend, &device));
    s->records = device.graphs;
    QN_TRY(qn_optimizer_open(s->model, s->options, &s->optimizer));
    return qn_input_open(backend, s->options->batch_size * s->options->seq_len, &s->input);
}

qn_status qn_stepper_open(qn_model *model, const qn_train_options *options, int64_t targets,
                          qn_comm *comm, qn_stepper **out) {
    *out = NULL;
    qn_stepper *s = calloc(1, sizeof *s);
    if (!s) return qn_error(QN_CODE_MEMORY, "no memory for what takes steps");
    s->model = model;
    s->options = options;
    s->targets = targets;
    s->comm = comm;
    s->ops = qn_model_backend(model)->ops;
    s->stream = qn_model_stream(model);
    qn_status status = prepare(s);
    if (status)
        qn_stepper_close(s);
    else
        *out = s;
    return status;
}

static void forget_recordings(qn_stepper *s) {
    for (int i = 0; i < s->n_recordings; i++) s->ops->graph_destroy(s->recordings[i].graph);
    s->n_recordings = 0;
}

void qn_stepper_close(qn_stepper *s) {
    if (!s) return;
    forget_recordings(s);
    qn_input_close(&s->input);
    qn_optimizer_close(&s->optimizer);
    free(s);
}

/* ---- the work of a micro-step -------------------------------------------------------------- */

/* Sums a range of gradients over the ranks as soon as it is final. */
static qn_status reduce_gradients(void *context, int64_t offset, int64_t count, qn_stream *stream) {
    const qn_stepper *s = context;
    float *grads = qn_model_buffer(s->model, QN_BUF_GRADS);
    return s->comm->ops->all_reduce(s->comm, stream, grads + offset, count);
}

static qn_status update(qn_stepper *s) {
    const int64_t G = s->options->grad_accum;
    QN_TRY(s->comm->ops->all_reduce(s->comm, s->stream, qn_model_buffer(s->model, QN_BUF_LOSS_SUMS),
                                    G));
    QN_TRY(qn_optimizer_update(&s->optimizer));
    return qn_model_fetch_result(s->model);
}

static qn_status enqueue(qn_stepper *s, const recipe *r) {
    qn_backend *backend = qn_model_backend(s->model);
    const bool reduces = r->last && s->comm->n_ranks > 1;
    const float grad_scale = 1.0f / (float)qn_stepper_targets(s);
    if (r->first) QN_TRY(qn_model_zero_grads(s->model));
    QN_TRY_IN(backend, "forward", qn_model_forward(s->model, &r->batch, r->slot, grad_scale));
    QN_TRY_IN(backend, "backward",
              qn_model_backward(s->model, reduces ? reduce_gradients : NULL, s));
    if (r->last) QN_TRY_IN(backend, "optimizer", update(s));
    return QN_OK;
}

/* ---- recording ------------------------------------------------------------------------------- */

static bool same_recipe(const recipe *a, const recipe *b) {
    return a->batch.tokens == b->batch.tokens && a->first == b->first && a->last == b->last &&
           a->slot == b->slot && a->stats == b->stats;
}

static recording *find_recording(qn_stepper *s, const recipe *r) {
    for (int i = 0; i < s->n_recordings; i++)
        if (same_recipe(&s->recordings[i].of, r)) return &s->recordings[i];
    return NULL;
}

static qn_status record(qn_stepper *s, const recipe *r, qn_graph **out) {
    QN_TRY(s->ops->capture_begin(s->stream));
    qn_status status = enqueue(s, r);
    qn_status ended = s->ops->capture_end(s->stream, out);
    if (!status) return ended;
    qn_status_free(ended);
    s->ops->graph_destroy(*out); /* of half a micro-step */
    *out = NULL;
    return status;
}

/* Runs a micro-step: as it is the first time, then recorded. */
static qn_status launch(qn_stepper *s, const recipe *r) {
    recording *found = find_recording(s, r);
    if (!found) {
        if (s->n_recordings == MOST_RECORDINGS) forget_recordings(s);
        s->recordings[s->n_recordings++] = (recording){.of = *r};
        return enqueue(s, r);
    }
    if (!found->graph) QN_TRY(record(s, r, &found->graph));
    return s->ops->graph_launch(s->stream, found->graph);
}

/* All micro-steps but the first and the last are one recording, which leaves its loss in the spare
 * slot. */
static qn_status launch_middle(qn_stepper *s, recipe r) {
    float *sums = qn_model_buffer(s->model, QN_BUF_LOSS_SUMS);
    const int64_t micro_step = r.slot;
    r.slot = s->options->grad_accum;
    QN_TRY(launch(s, &r));
    return s->ops->copy(s->stream, sums + micro_step, sums + r.slot, sizeof *sums,
                        QN_COPY_ON_DEVICE);
}

/* ---- a step ------------------------------------------------------------------------------- */

qn_status qn_stepper_input(qn_stepper *s, int32_t **tokens, int32_t **targets,
                           int32_t **doc_start) {
    QN_TRY(qn_input_acquire(&s->input, tokens, targets, doc_start));
    s->next = (qn_batch){*tokens, *targets, *doc_start};
    return QN_OK;
}

static qn_status pass(qn_stepper *s, const recipe *r) {
    if (!s->records) return enqueue(s, r);
    return r->first || r->last ? launch(s, r) : launch_middle(s, *r);
}

qn_status qn_stepper_pass(qn_stepper *s, int64_t micro_step, int64_t step, double lr) {
    const recipe r = {.batch = s->next,
                      .first = micro_step == 0,
                      .last = micro_step == s->options->grad_accum - 1,
                      .slot = micro_step,
                      .stats = qn_model_stats(s->model)};
    if (r.last) qn_optimizer_schedule(&s->optimizer, step, lr);
    QN_TRY(pass(s, &r));
    return qn_input_release(&s->input, s->stream);
}

/* A recipe comes back in the next step, or, where micro-steps do not fill the slots of the input
 * evenly, in as many steps as there are slots; it runs once as it is and is then recorded. */
int64_t qn_stepper_warm_steps(const qn_stepper *s) {
    if (!s->records) return 1;
    return s->options->grad_accum % QN_INPUT_SLOTS ? 2 * QN_INPUT_SLOTS : 2;
}

qn_status qn_stepper_result(qn_stepper *s, double *loss_sum, double *grad_norm) {
    return qn_model_step_result(s->model, loss_sum, grad_norm);
}
