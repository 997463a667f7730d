/* classifier.c: cross-entropy over the vocabulary by chunks of tokens. The logits of a
 * chunk become its probabilities and then their gradient in place. */
#include <math.h>

#include "check/check.h"
#include "check/classifier.h"
#include "cpu.h"
#include "mathf.h"
#include "rows.h"

/* A chunk's logits should stay in the outer cache between the product that makes them,
 * the softmax and the two products that use them; but every chunk reads weight, and reads
 * and writes dweight, so that fewer than CHUNK_ROWS tokens would be bound by memory. */
enum { CHUNK_BYTES = 4 << 20, CHUNK_ROWS = 256 };

static int64_t chunk_rows(int64_t tokens, int64_t vocab) {
    int64_t fits = CHUNK_BYTES / ((int64_t)sizeof(float) * qn_max_i64(vocab, 1));
    return qn_min_i64(qn_max_i64(fits, CHUNK_ROWS), tokens);
}

/* ---- the products of one chunk ---------------------------------------------------- */

static qn_tensor rows_of(const qn_tensor *t, int64_t first, int64_t n) {
    qn_tensor view = *t;
    if (t->data) view.data = qn_row(t, first);
    view.shape[0] = n;
    return view;
}

typedef struct chunk_products {
    qn_gemm_args logits, dweight, dx;
} chunk_products;

/* logits (n,V) = x·weightᵀ; dweight (V,C) += dlogitsᵀ·x; dx (n,C) = dlogits·weight. */
static chunk_products products_of(const qn_classifier_args *args, qn_tensor logits, int64_t first,
                                  void *workspace) {
    int64_t n = logits.shape[0];
    qn_tensor x = rows_of(&args->x, first, n);
    chunk_products p = {
        .logits = {.a = x, .b = args->weight, .c = logits, .transpose_b = true},
        .dweight = {.a = logits, .b = x, .c = args->dweight, .transpose_a = true, .beta = 1},
        .dx = {.a = logits, .b = args->weight, .c = rows_of(&args->dx, first, n)},
    };
    p.logits.compute = p.dweight.compute = p.dx.compute = args->compute;
    p.logits.workspace = p.dweight.workspace = p.dx.workspace = workspace;
    return p;
}

/* The same call of the words alone: rows of padding are nothing that BLAS needs. */
static qn_classifier_args without_padding(const qn_classifier_args *args) {
    qn_classifier_args words = *args;
    words.weight.shape[0] = words.dweight.shape[0] = args->vocab_size;
    return words;
}

static size_t logits_bytes(const qn_classifier_args *args) {
    int64_t vocab = args->vocab_size;
    return qn_cpu_align((size_t)chunk_rows(args->x.shape[0], vocab) * (size_t)vocab *
                        sizeof(float));
}

size_t qn_cpu_classifier_workspace(qn_backend *backend, const qn_classifier_args *args) {
    const qn_classifier_args words = without_padding(args);
    int64_t vocab = args->vocab_size, rows = chunk_rows(args->x.shape[0], vocab);
    chunk_products p = products_of(&words, qn_tensor_2d(NULL, QN_F32, rows, vocab), 0, NULL);
    size_t most = qn_cpu_gemm_workspace(backend, &p.logits);
    const qn_gemm_args *backward[] = {&p.dweight, &p.dx};
    for (int i = 0; i < 2; i++) {
        size_t bytes = qn_cpu_gemm_workspace(backend, backward[i]);
        if (bytes > most) most = bytes;
    }
    return logits_bytes(args) + most;
}

/* ---- softmax ---------------------------------------------------------------------------- */

static float row_max(const float *restrict x, int64_t n) {
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; j++) most = x[j] > most ? x[j] : most;
    return most;
}

enum { SUM_BLOCK = 1024 }; /* exponentials summed in fp32 before fp64 takes them */

/* Replaces the logits by exp(x − most); returns their sum. */
static double exponentials(float *restrict x, int64_t n, float most) {
    double total = 0;
    for (int64_t first = 0; first < n; first += SUM_BLOCK) {
        int64_t length = qn_min_i64(SUM_BLOCK, n - first);
        float *restrict block = x + first;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < length; j++) {
            float e = qn_expf(block[j] - most);
            block[j] = e;
            sum += e;
        }
        total += (double)sum;
    }
    return total;
}

static void fill_row(float *restrict x, float value, int64_t n) {
    for (int64_t j = 0; j < n; j++) x[j] = value;
}

static void scale_row(float *restrict x, float scale, int64_t n) {
    for (int64_t j = 0; j < n; j++) x[j] *= scale;
}

/* The loss of one row, −log softmax(x)[target]; x becomes grad_scale·∂loss/∂x
 * if that is wanted. */
static float cross_entropy_row(float *x, int64_t vocab, int32_t target, bool want_gradient,
                               float grad_scale) {
    if (target < 0) {
        fill_row(x, 0, vocab);
        return 0;
    }
    float most = row_max(x, vocab), shifted = x[target] - most;
    double total = exponentials(x, vocab, most);
    if (want_gradient) {
        scale_row(x, (float)((double)grad_scale / total), vocab);
        x[target] -= grad_scale;
    }
    return (float)(log(total) - (double)shifted);
}

static void cross_entropy(int n_threads, const qn_classifier_args *args, const qn_tensor *logits,
                          int64_t first) {
    int64_t rows = logits->shape[0], vocab = logits->shape[1];
    const int32_t *target = (const int32_t *)args->targets.data + first;
    float *loss = (float *)args->losses.data + first;
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (rows * vocab > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++)
        loss[n] = cross_entropy_row(qn_row(logits, n), vocab, target[n], args->dx.data != NULL,
                                    args->grad_scale);
}

/* dx comes last because it may be x. */
qn_status qn_cpu_classifier(qn_stream *stream, const qn_classifier_args *args) {
    QN_TRY(qn_check_classifier(args, QN_F32));
    const qn_classifier_args words = without_padding(args);
    int64_t tokens = args->x.shape[0], vocab = args->vocab_size;
    QN_TRY(qn_check_indices("classifier", "target", args->targets.data, tokens, INT32_MIN, vocab));
    if (tokens == 0) return QN_OK;
    QN_TRY(qn_check_workspace("classifier", args->workspace,
                              qn_cpu_classifier_workspace(stream->backend, args)));
    int64_t step = chunk_rows(tokens, vocab);
    void *workspace = (char *)args->workspace + logits_bytes(args);
    for (int64_t first = 0; first < tokens; first += step) {
        qn_tensor logits =
            qn_tensor_2d(args->workspace, QN_F32, qn_min_i64(step, tokens - first), vocab);
        chunk_products p = products_of(&words, logits, first, workspace);
        QN_TRY(qn_cpu_gemm(stream, &p.logits));
        cross_entropy(qn_cpu_threads(stream), args, &logits, first);
        if (!args->dx.data) continue;
        if (args->dweight.data) QN_TRY(qn_cpu_gemm(stream, &p.dweight));
        QN_TRY(qn_cpu_gemm(stream, &p.dx));
    }
    return QN_OK;
}
