#include "model/linear.h"

/* A matrix that begins with parameter `first` and has `rows` rows: parameters that follow
 * each other in the registry without a gap (q, k, v; gate, up) are one matrix. */
static qn_tensor group(qn_tensor first, int64_t rows) {
    if (first.data) first.shape[0] = rows;
    return first;
}

static qn_linear linear(const qn_model *m, qn_role weight, qn_role bias, int64_t layer,
                        int64_t rows, int64_t outputs) {
    return (qn_linear){.weight = group(qn_weight(m, weight, layer), rows),
                       .bias = group(qn_weight(m, bias, layer), outputs),
                       .dweight = group(qn_weight_grad(m, weight, layer), rows),
                       .dbias = group(qn_weight_grad(m, bias, layer), outputs),
                       .rows_are_outputs = m->config.arch == QN_ARCH_LLAMA};
}

qn_linear qn_linear_qkv(const qn_model *m, int64_t layer) {
    const qn_config *c = &m->config;
    const int64_t outputs = (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
    if (c->arch == QN_ARCH_GPT2) {
        return linear(m, QN_QKV_W, QN_QKV_B, layer, c->hidden_size, outputs);
    }
    return linear(m, QN_Q_W, QN_Q_B, layer, outputs, outputs);
}

qn_linear qn_linear_out(const qn_model *m, int64_t layer) {
    return linear(m, QN_O_W, QN_O_B, layer, m->config.hidden_size, m->config.hidden_size);
}

qn_linear qn_linear_ffn_in(const qn_model *m, int64_t layer) {
    const qn_config *c = &m->config;
    if (c->arch == QN_ARCH_GPT2) {
        return linear(m, QN_FC_W, QN_FC_B, layer, c->hidden_size, c->ffn_size);
    }
    return linear(m, QN_GATE_W, QN_FC_B, layer, 2 * c->ffn_size, 2 * c->ffn_size);
}

qn_linear qn_linear_down(const qn_model *m, int64_t layer) {
    const qn_config *c = &m->config;
    const int64_t rows = c->arch == QN_ARCH_GPT2 ? c->ffn_size : c->hidden_size;
    return linear(m, QN_DOWN_W, QN_DOWN_B, layer, rows, c->hidden_size);
}

static qn_status multiply(const qn_model *m, qn_gemm_args args) {
    args.compute = m->plan.options.compute;
    args.workspace = qn_buffer_at(m, QN_BUF_WORKSPACE, 0);
    return m->ops->gemm(m->stream, &args);
}

qn_status qn_linear_forward(const qn_model *m, const qn_linear *w, qn_tensor x, qn_tensor y) {
    return multiply(m,
                    (qn_gemm_args){.a = x,
                                   .b = w->weight,
                                   .c = y,
                                   .transpose_b = w->rows_are_outputs,
                                   .epilogue = w->bias.data ? QN_EPILOGUE_BIAS : QN_EPILOGUE_NONE,
                                   .bias = w->bias});
}

qn_status qn_linear_forward_gelu(const qn_model *m, const qn_linear *w, qn_tensor x, qn_tensor pre,
                                 qn_tensor y) {
    return multiply(m, (qn_gemm_args){.a = x,
                                      .b = w->weight,
                                      .c = y,
                                      .transpose_b = w->rows_are_outputs,
                                      .epilogue = QN_EPILOGUE_GELU,
                                      .bias = w->bias,
                                      .aux = pre});
}

qn_status qn_linear_backward_input(const qn_model *m, const qn_linear *w, qn_tensor dy,
                                   qn_tensor dx) {
    return multiply(
        m, (qn_gemm_args){.a = dy, .b = w->weight, .c = dx, .transpose_b = !w->rows_are_outputs});
}

qn_status qn_linear_backward_input_gelu(const qn_model *m, const qn_linear *w, qn_tensor dy,
                                        qn_tensor pre, qn_tensor dpre) {
    return multiply(m, (qn_gemm_args){.a = dy,
                                      .b = w->weight,
                                      .c = dpre,
                                      .transpose_b = !w->rows_are_outputs,
                                      .epilogue = QN_EPILOGUE_DGELU,
                                      .aux = pre});
}

qn_status qn_linear_backward_weight(const qn_model *m, const qn_linear *w, qn_tensor x,
                                    qn_tensor dy) {
    qn_gemm_args args = {.c = w->dweight, .transpose_a = true, .beta = 1, .bias = w->dbias};
    if (w->rows_are_outputs) {
        args.a = dy;
        args.b = x;
        args.epilogue = w->dbias.data ? QN_EPILOGUE_BGRAD_A : QN_EPILOGUE_NONE;
    } else {
        args.a = x;
        args.b = dy;
        args.epilogue = w->dbias.data ? QN_EPILOGUE_BGRAD_B : QN_EPILOGUE_NONE;
    }
    return multiply(m, args);
}
