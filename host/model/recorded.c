/* recorded.c: the passes of a micro-step as one launch. A step of a small model is hundreds of
 * short operations; recorded, they follow each other without a word from the host. */
#include "model/model_impl.h"
#include "quern/range.h"

static int64_t recorded_slot(const qn_model *m) { return m->plan.options.grad_accum; }

static qn_status both_passes(qn_model *m, int64_t slot, float grad_scale, qn_grads_ready ready,
                             void *context) {
    QN_TRY_IN(m->backend, "forward", qn_forward_loss(m, slot, grad_scale, true));
    QN_TRY_IN(m->backend, "backward", qn_model_backward(m, ready, context));
    return QN_OK;
}

static bool is_recorded(const qn_model *m, float grad_scale) {
    const qn_recorded *r = &m->recorded;
    return r->graph && r->grad_scale == grad_scale && r->stats == m->stats;
}

static qn_status record(qn_model *m, float grad_scale) {
    qn_recorded *r = &m->recorded;
    m->ops->graph_destroy(r->graph);
    r->graph = NULL;
    r->grad_scale = grad_scale;
    r->stats = m->stats;
    QN_TRY(m->ops->capture_begin(m->stream));
    qn_status status = both_passes(m, recorded_slot(m), grad_scale, NULL, NULL);
    qn_status ended = m->ops->capture_end(m->stream, &r->graph);
    if (!status) return ended;
    qn_status_free(ended);
    m->ops->graph_destroy(r->graph); /* of half a step */
    r->graph = NULL;
    return status;
}

/* Launches the graph, and puts its loss where that of this micro-step belongs. */
static qn_status replay(qn_model *m, int64_t micro_step) {
    float *sums = qn_buffer_at(m, QN_BUF_LOSS_SUMS, 0);
    QN_TRY(m->ops->graph_launch(m->stream, m->recorded.graph));
    return m->ops->copy(m->stream, sums + micro_step, sums + recorded_slot(m), sizeof *sums,
                        QN_COPY_ON_DEVICE);
}

qn_status qn_model_train_pass(qn_model *m, const qn_batch *batch, int64_t micro_step,
                              float grad_scale, qn_grads_ready ready, void *context) {
    QN_TRY(qn_check_training(m, "passes of a micro-step"));
    QN_TRY(qn_check_micro_step(m, micro_step));
    QN_TRY(qn_upload_batch(m, batch));
    if (!m->recorded.possible || !m->recorded.warm || ready) {
        m->recorded.warm = true;
        return both_passes(m, micro_step, grad_scale, ready, context);
    }
    if (!is_recorded(m, grad_scale)) QN_TRY(record(m, grad_scale));
    return replay(m, micro_step);
}
