/* gelu.c: GELU by itself; the GEMM has it as an epilogue too. 8 bytes an element. */
#include "gelu.h"

#include "check/activations.h"
#include "cpu.h"
#include "rows.h"

qn_status qn_cpu_gelu(qn_stream *stream, qn_tensor out, qn_tensor x) {
    QN_TRY(qn_check_gelu(&out, &x, QN_F32));
    int64_t rows = x.shape[0], cols = x.shape[1];
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++) {
        float *restrict to = qn_row(&out, n);
        const float *restrict from = qn_row(&x, n);
        for (int64_t j = 0; j < cols; j++) to[j] = qn_geluf(from[j]);
    }
    return QN_OK;
}
