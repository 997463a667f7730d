/* activations.cu: SwiGLU (Shazeer 2002.05202) and GELU in its tanh approximation (Hendrycks &
 * Gimpel 1606.08415). In every kernel of 256 threads one takes a chunk of 8 elements a step;
 * nothing lies in shared memory. */
#include "activations.h"

#include "gelu.h"
#include "walk.h"

enum { THREADS = 256, RESIDENT = 8 };

/* Where 1 + e^x has no finite value that a division takes, 1/(1 + e^x) is 0, as it should be. */
QN_DEVICE float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

/* ---- SwiGLU ---------------------------------------------------------------- */

/* out = silu(gate) ∘ up. Bytes: 4 an element of out read, 2 written; 5 operations and an
 * exponential. */
__global__ void __launch_bounds__(THREADS)
    swiglu_forward(const __grid_constant__ qn_tensor out, const __grid_constant__ qn_tensor gate_up,
                   bool wide) {
    const int64_t rows = out.shape[0], cols = out.shape[1];
    for (row_walk at = begin_walk(cols); at.row < rows; walk_on(at)) {
        const int64_t first = at.chunk * VECTOR;
        const bf16 *const row = row_of(gate_up, at.row);
        const vector8 gate = load_part(row, first, cols, wide);
        vector8 up = load_part(row + cols, first, cols, wide);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) up.x[i] *= gate.x[i] * sigmoid(gate.x[i]);
        store_part(row_of(out, at.row), first, cols, wide, up);
    }
}

/* dgate = dout·up·σ(1 + gate(1 − σ)) and dup = dout·gate·σ, where 1 − σ = e^(−gate)·σ keeps its
 * digits; below −88, where σ is 0, the exponential stays finite. */
QN_DEVICE void swiglu_gradients(float &gate, float &up, float dout) {
    const float x = gate < -88.0f ? -88.0f : gate;
    const float e = expf(-x), sigma = __fdividef(1.0f, 1.0f + e);
    const float dup = dout * gate * sigma;
    gate = dout * up * sigma * (1.0f + x * (e * sigma));
    up = dup;
}

/* Bytes: 6 an element of dout read, 4 written; 12 operations and an exponential. dgate_up may be
 * gate_up: a thread writes what it alone has read. */
__global__ void __launch_bounds__(THREADS)
    swiglu_backward(const __grid_constant__ qn_tensor dgate_up,
                    const __grid_constant__ qn_tensor gate_up,
                    const __grid_constant__ qn_tensor dout, bool wide) {
    const int64_t rows = dout.shape[0], cols = dout.shape[1];
    for (row_walk at = begin_walk(cols); at.row < rows; walk_on(at)) {
        const int64_t first = at.chunk * VECTOR;
        const bf16 *const row = row_of(gate_up, at.row);
        bf16 *const to = row_of(dgate_up, at.row);
        vector8 gate = load_part(row, first, cols, wide);
        vector8 up = load_part(row + cols, first, cols, wide);
        const vector8 d = load_part(row_of(dout, at.row), first, cols, wide);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) swiglu_gradients(gate.x[i], up.x[i], d.x[i]);
        store_part(to, first, cols, wide, gate);
        store_part(to + cols, first, cols, wide, up);
    }
}

/* ---- GELU -------------------------------------------------------------------- */

/* The gelu of the matrix product's epilogue. Bytes: 2 an element read, 2 written; 7 operations, a
 * division and an exponential. */
__global__ void __launch_bounds__(THREADS)
    gelu_forward(const __grid_constant__ qn_tensor out, const __grid_constant__ qn_tensor x,
                 bool wide) {
    const int64_t rows = out.shape[0], cols = out.shape[1];
    for (row_walk at = begin_walk(cols); at.row < rows; walk_on(at)) {
        const int64_t first = at.chunk * VECTOR;
        vector8 v = load_part(row_of(x, at.row), first, cols, wide);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) v.x[i] = gelu(v.x[i]);
        store_part(row_of(out, at.row), first, cols, wide, v);
    }
}

/* ---- launches ------------------------------------------------------------------ */

static dim3 grid_for(const qn_cuda_queue *queue, const qn_tensor &t) {
    return walk_grid(queue, t.shape[0], t.shape[1], THREADS, RESIDENT);
}

int qn_cuda_launch_swiglu_forward(qn_tensor out, qn_tensor gate_up, bool wide,
                                  const qn_cuda_queue *queue) {
    QN_LAUNCH(swiglu_forward, grid_for(queue, out), dim3(THREADS), 0, queue->stream, out, gate_up,
              wide);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_swiglu_backward(qn_tensor dgate_up, qn_tensor gate_up, qn_tensor dout, bool wide,
                                   const qn_cuda_queue *queue) {
    QN_LAUNCH(swiglu_backward, grid_for(queue, dout), dim3(THREADS), 0, queue->stream, dgate_up,
              gate_up, dout, wide);
    return QN_LAUNCH_ERROR();
}

int qn_cuda_launch_gelu(qn_tensor out, qn_tensor x, bool wide, const qn_cuda_queue *queue) {
    QN_LAUNCH(gelu_forward, grid_for(queue, x), dim3(THREADS), 0, queue->stream, out, x, wide);
    return QN_LAUNCH_ERROR();
}
