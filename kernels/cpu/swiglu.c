/* swiglu.c: silu(gate) ∘ up (Shazeer 2002.05202). */
#include "check/activations.h"
#include "cpu.h"
#include "mathf.h"
#include "rows.h"

/* 12 bytes an element of out. */
qn_status qn_cpu_swiglu_forward(qn_stream *stream, const qn_swiglu_args *args) {
    QN_TRY(qn_check_swiglu_forward(args, QN_F32));
    int64_t rows = args->out.shape[0], cols = args->out.shape[1];
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++) {
        const float *restrict gate = qn_row(&args->gate_up, n), *restrict up = gate + cols;
        float *restrict out = qn_row(&args->out, n);
        for (int64_t j = 0; j < cols; j++) out[j] = gate[j] * qn_sigmoidf(gate[j]) * up[j];
    }
    return QN_OK;
}

/* dgate = dout·up·σ(1 + gate(1 − σ)), dup = dout·gate·σ, where 1 − σ = e^(−gate)·σ keeps
 * its digits. 20 bytes an element of dout.
 * dgate_up may be gate_up, so no pointer is restrict. */
static void backward_row(const float *gate_up, const float *dout, float *dgate_up, int64_t cols) {
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) {
        float gate = gate_up[j], up = gate_up[cols + j], d = dout[j];
        float e = qn_expf(-gate), sigma = 1.0f / (1.0f + e);
        dgate_up[j] = d * up * sigma * (1.0f + gate * (e * sigma));
        dgate_up[cols + j] = d * gate * sigma;
    }
}

qn_status qn_cpu_swiglu_backward(qn_stream *stream, const qn_swiglu_args *args) {
    QN_TRY(qn_check_swiglu_backward(args, QN_F32));
    int64_t rows = args->dout.shape[0], cols = args->dout.shape[1];
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++)
        backward_row(qn_row(&args->gate_up, n), qn_row(&args->dout, n), qn_row(&args->dgate_up, n),
                     cols);
    return QN_OK;
}
