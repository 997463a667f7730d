/* gemm.c: the matrix product: OpenBLAS for the sums, one more pass over C, by rows in
 * parallel, for the epilogue. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "check/check.h"
#include "check/gemm.h"
#include "cpu.h"
#include "gelu.h"
#include "gemm_bf16.h"
#include "quern/bf16.h"
#include "reduce.h"
#include "rows.h"

/* C = op(A)·op(B) + beta·C with the strides between rows that the data really have. */
typedef struct product {
    int64_t m, n, k;
    const float *a, *b;
    float *c;
    int64_t a_stride, b_stride, c_stride;
    bool transpose_a, transpose_b;
    float beta;
} product;

static int64_t row_stride(const qn_tensor *t) {
    return t->shape[0] > 1 ? t->stride[0] : qn_max_i64(t->shape[1], 1);
}

/* ---- the product --------------------------------------------------------------- */

/* Few rows of C are a matrix times a vector each: BLAS would rather copy B first. The old
 * C is zeroed here when beta is 0, because not every BLAS leaves it unread. */
enum { GEMV_ROWS = 4 };

static void run_gemv(const product *p, int64_t row) {
    const float *a = p->a + row * (p->transpose_a ? 1 : p->a_stride);
    float *c = p->c + row * p->c_stride, beta = p->beta;
    if (beta == 0) {
        memset(c, 0, (size_t)p->n * sizeof *c);
        beta = 1;
    }
    int64_t rows = p->transpose_b ? p->n : p->k, cols = p->transpose_b ? p->k : p->n;
    cblas_sgemv(CblasRowMajor, p->transpose_b ? CblasNoTrans : CblasTrans, (int)rows, (int)cols, 1,
                p->b, (int)p->b_stride, a, p->transpose_a ? (int)p->a_stride : 1, beta, c, 1);
}

static void scale_rows(const product *p) {
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float *c = p->c + i * p->c_stride + j;
            *c = p->beta == 0 ? 0 : *c * p->beta;
        }
}

static void run_blas(const product *p) {
    if (p->m <= GEMV_ROWS)
        for (int64_t i = 0; i < p->m; i++) run_gemv(p, i);
    else
        cblas_sgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
                    p->transpose_b ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                    p->a, (int)p->a_stride, p->b, (int)p->b_stride, p->beta, p->c,
                    (int)p->c_stride);
}

/* Parts of C along its longer side are cut at multiples of the BLAS's own tiles. */
enum { PART_ALIGNMENT = 16, PART_MIN = 64 };

static int64_t cut(int64_t length, int part, int n_parts) {
    int64_t tiles = (length + PART_ALIGNMENT - 1) / PART_ALIGNMENT;
    return qn_min_i64(tiles * part / n_parts * PART_ALIGNMENT, length);
}

static product part_of(product p, int part, int n_parts) {
    bool by_rows = p.m >= p.n;
    int64_t length = by_rows ? p.m : p.n;
    int64_t from = cut(length, part, n_parts), to = cut(length, part + 1, n_parts);
    if (by_rows) {
        p.a += from * (p.transpose_a ? 1 : p.a_stride);
        p.c += from * p.c_stride;
        p.m = to - from;
    } else {
        p.b += from * (p.transpose_b ? p.b_stride : 1);
        p.c += from;
        p.n = to - from;
    }
    return p;
}

/* Each thread multiplies its part of C: at the sizes of small models OpenBLAS's own
 * threads reach two thirds of that rate. It takes its thread count from OpenMP's setting
 * for the calling thread; where parts would be slivers it shares the work itself. */
static void run_sgemm(int n_threads, const product *p) {
    if (p->m == 0 || p->n == 0) return;
    if (p->k == 0) {
        scale_rows(p);
        return;
    }
    int before = omp_get_max_threads();
    bool in_parts = qn_max_i64(p->m, p->n) >= (int64_t)n_threads * PART_MIN;
    omp_set_num_threads(in_parts ? 1 : n_threads);
    if (in_parts) {
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
        for (int part = 0; part < n_threads; part++) {
            product mine = part_of(*p, part, n_threads);
            if (mine.m && mine.n) run_blas(&mine);
        }
    } else {
        run_blas(p);
    }
    omp_set_num_threads(before);
}

/* ---- bf16 operands ----------------------------------------------------------------- */

/* Bytes of one operand, rounded to bf16, dense in the workspace: as bf16 where the CPU
 * multiplies it, else as floats that bf16 can hold. */
static size_t operand_bytes(const qn_cpu *cpu, const qn_tensor *t) {
    size_t size = cpu->bf16 ? sizeof(uint16_t) : sizeof(float);
    return qn_cpu_align((size_t)t->shape[0] * (size_t)t->shape[1] * size);
}

size_t qn_cpu_gemm_workspace(qn_backend *backend, const qn_gemm_args *args) {
    const qn_cpu *cpu = (const qn_cpu *)backend;
    if (args->compute != QN_BF16) return 0;
    return operand_bytes(cpu, &args->a) + operand_bytes(cpu, &args->b);
}

static void round_operand(int n_threads, const qn_tensor *t, float *out) {
    int64_t rows = t->shape[0], cols = t->shape[1];
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++) {
        float *restrict to = out + n * cols;
        const float *restrict from = qn_row(t, n);
        for (int64_t j = 0; j < cols; j++) to[j] = qn_round_bf16(from[j]);
    }
}

static qn_status run_native_bf16(qn_stream *stream, const qn_gemm_args *args, const product *p) {
    const qn_cpu *cpu = qn_cpu_of(stream);
    const qn_tensor *operands[] = {&args->a, &args->b};
    uint16_t *rounded[] = {args->workspace,
                           (uint16_t *)((char *)args->workspace + operand_bytes(cpu, &args->a))};
    for (int i = 0; i < 2; i++) {
        qn_tensor dense =
            qn_tensor_2d(rounded[i], QN_BF16, operands[i]->shape[0], operands[i]->shape[1]);
        QN_TRY(qn_cpu_cast(stream, dense, *operands[i]));
    }
    const qn_bf16_product bf16 = {.m = p->m,
                                  .n = p->n,
                                  .k = p->k,
                                  .transpose_a = p->transpose_a,
                                  .transpose_b = p->transpose_b,
                                  .c_stride = p->c_stride,
                                  .beta = p->beta,
                                  .n_threads = cpu->n_threads};
    return qn_bf16_gemm_run(cpu->bf16, &bf16, rounded[0], rounded[1], p->c);
}

static qn_status run_product(qn_stream *stream, const qn_gemm_args *args, product p) {
    const qn_cpu *cpu = qn_cpu_of(stream);
    bool is_empty = p.m == 0 || p.n == 0 || p.k == 0;
    if (args->compute == QN_BF16 && !is_empty) {
        if (cpu->bf16) return run_native_bf16(stream, args, &p);
        float *a = args->workspace;
        float *b = (float *)((char *)args->workspace + operand_bytes(cpu, &args->a));
        round_operand(cpu->n_threads, &args->a, a);
        round_operand(cpu->n_threads, &args->b, b);
        p.a = a;
        p.b = b;
        p.a_stride = args->a.shape[1];
        p.b_stride = args->b.shape[1];
    }
    run_sgemm(cpu->n_threads, &p);
    return QN_OK;
}

/* ---- epilogues ------------------------------------------------------------------------ */

static void bias_row(float *restrict c, const float *restrict bias, int64_t n) {
    for (int64_t j = 0; j < n; j++) c[j] += bias[j];
}

static void gelu_row(float *restrict c, const float *restrict aux, int64_t n) {
    for (int64_t j = 0; j < n; j++) c[j] = qn_geluf(aux[j]);
}

static void dgelu_row(float *restrict c, const float *restrict aux, int64_t n) {
    for (int64_t j = 0; j < n; j++) c[j] *= qn_dgeluf(aux[j]);
}

static void finish_row(const qn_gemm_args *args, int64_t i) {
    int64_t n = args->c.shape[1];
    float *c = qn_row(&args->c, i);
    switch (args->epilogue) {
    case QN_EPILOGUE_BIAS:
        bias_row(c, args->bias.data, n);
        break;
    case QN_EPILOGUE_GELU:
        if (args->bias.data) bias_row(qn_row(&args->aux, i), args->bias.data, n);
        gelu_row(c, qn_row(&args->aux, i), n);
        break;
    case QN_EPILOGUE_DGELU:
        dgelu_row(c, qn_row(&args->aux, i), n);
        break;
    default:
        break;
    }
}

static void finish_rows(int n_threads, const qn_gemm_args *args) {
    int64_t m = args->c.shape[0], n = args->c.shape[1];
#pragma omp parallel for num_threads(n_threads) schedule(static) if (m * n > QN_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < m; i++) finish_row(args, i);
}

/* bias += the sums of an operand over k: down its columns or along its rows. */
static void add_operand_sums(int n_threads, const qn_tensor *t, bool k_is_first, float *bias) {
    if (k_is_first)
        qn_add_column_sums(n_threads, t->data, t->stride[0], t->shape[0], t->shape[1], bias);
    else
        qn_add_row_sums(n_threads, t->data, t->stride[0], t->shape[0], t->shape[1], bias);
}

qn_status qn_cpu_gemm(qn_stream *stream, const qn_gemm_args *args) {
    QN_TRY(qn_check_gemm(args, QN_F32));
    QN_TRY(
        qn_check_workspace("gemm", args->workspace, qn_cpu_gemm_workspace(stream->backend, args)));
    int n_threads = qn_cpu_threads(stream);
    bool into_aux = args->epilogue == QN_EPILOGUE_GELU;
    const qn_tensor *out = into_aux ? &args->aux : &args->c;
    product p = {.m = args->c.shape[0],
                 .n = args->c.shape[1],
                 .k = args->a.shape[args->transpose_a ? 0 : 1],
                 .a = args->a.data,
                 .b = args->b.data,
                 .c = out->data,
                 .a_stride = row_stride(&args->a),
                 .b_stride = row_stride(&args->b),
                 .c_stride = row_stride(out),
                 .transpose_a = args->transpose_a,
                 .transpose_b = args->transpose_b,
                 .beta = args->beta};
    QN_TRY(run_product(stream, args, p));
    if (args->epilogue == QN_EPILOGUE_BGRAD_A)
        add_operand_sums(n_threads, &args->a, args->transpose_a, args->bias.data);
    else if (args->epilogue == QN_EPILOGUE_BGRAD_B)
        add_operand_sums(n_threads, &args->b, !args->transpose_b, args->bias.data);
    else if (args->epilogue != QN_EPILOGUE_NONE)
        finish_rows(n_threads, args);
    return QN_OK;
}
