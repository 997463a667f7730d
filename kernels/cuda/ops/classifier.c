/* classifier.c: cross-entropy over the vocabulary by chunks of tokens: a product makes their
 * logits, one kernel their losses and gradients, two products the gradients of x and weight. */
#include "classifier.h"

#include "backend.h"
#include "check/classifier.h"
#include "workspace.h"

/* ---- chunks ------------------------------------------------------------------- */

/* Every chunk reads and writes dweight in fp32: 8·V·C bytes, against 2·rows·V·C operations. From
 * 4 rows for each operation that the device does in the time of a byte, that product is no longer
 * bound by memory: about 600 on an A100, 950 on an H100. Logits that stay in the L2 cache save 10
 * bytes each, but at the vocabularies of language models 50 MB hold 100 to 250 rows, and what
 * chunks so short would add to the traffic of dweight is 2 (C = 768) to 10 (C = 4096) times that.
 * So: FULL_ROWS, or as many more as the cache holds where the vocabulary is small, and fewer where
 * they would take more than MOST_BYTES. Chunks are of equal length, so that the last one is no
 * sliver. */
enum { FULL_ROWS = 1024, FEWEST_ROWS = 128, ROW_MULTIPLE = 64 };
static const int64_t MOST_BYTES = (int64_t)512 << 20;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t round_up(int64_t x, int64_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

/* Rows of logits begin at multiples of 256 bytes, however many words there are. */
static int64_t row_floats(const qn_classifier_args *args) {
    return round_up(most(args->weight.shape[0], 1), 64);
}

static int64_t chunk_rows(const qn_cuda *cuda, const qn_classifier_args *args) {
    const int64_t tokens = args->x.shape[0];
    const int64_t row_bytes = row_floats(args) * (int64_t)sizeof(float);
    const int64_t cached = (int64_t)cuda->l2_bytes / row_bytes;
    const int64_t affordable = most(least(FULL_ROWS, MOST_BYTES / row_bytes), FEWEST_ROWS);
    const int64_t rows = most(cached, affordable);
    if (tokens <= rows) return most(tokens, 0);
    const int64_t chunks = (tokens + rows - 1) / rows;
    return least(round_up((tokens + chunks - 1) / chunks, ROW_MULTIPLE), rows);
}

/* ---- the products of one chunk ---------------------------------------------------- */

typedef struct chunk_products {
    qn_gemm_args logits, dweight, dx;
} chunk_products;

static qn_tensor rows_of(const qn_tensor *t, int64_t first, int64_t n) {
    qn_tensor view = *t;
    if (t->data)
        view.data = (char *)t->data + first * t->stride[0] * (int64_t)qn_dtype_size(t->dtype);
    view.shape[0] = n;
    return view;
}

static qn_tensor logits_of(const qn_cuda_logits *x) {
    qn_tensor view = qn_tensor_2d(x->data, QN_F32, x->rows, x->columns);
    view.stride[0] = x->row_floats;
    return view;
}

/* In the memory of the logits. */
static qn_tensor dlogits_of(const qn_cuda_logits *x) {
    qn_tensor view = qn_tensor_2d(x->data, QN_BF16, x->rows, x->columns);
    view.stride[0] = 2 * x->row_floats;
    return view;
}

/* logits (n,R) = x·weightᵀ; dweight (R,C) += dlogitsᵀ·x; dx (n,C) = dlogits·weight. R is the length
 * of contiguous rows of logits and of dlogits, and NVIDIA's manual of cuBLAS asks that they be
 * multiples of 16 bytes for tensor cores at their best, besides the distance between them. So the
 * rows of weight that are no words are multiplied too: as zeros they do not change dx, nor their
 * gradient, since dlogits is 0 there. */
static chunk_products products_of(const qn_classifier_args *args, const qn_cuda_logits *logits,
                                  int64_t first, void *workspace) {
    const qn_tensor x = rows_of(&args->x, first, logits->rows), dlogits = dlogits_of(logits);
    chunk_products p = {
        .logits = {.a = x, .b = args->weight, .c = logits_of(logits), .transpose_b = true},
        .dweight = {.a = dlogits, .b = x, .c = args->dweight, .transpose_a = true, .beta = 1},
        .dx = {.a = dlogits, .b = args->weight, .c = rows_of(&args->dx, first, logits->rows)},
    };
    p.logits.compute = p.dweight.compute = p.dx.compute = QN_BF16;
    p.logits.workspace = p.dweight.workspace = p.dx.workspace = workspace;
    return p;
}

/* ---- memory -------------------------------------------------------------------------- */

typedef struct classifier_memory {
    void *gemm;
    float *logits;
} classifier_memory;

static void lay_out(qn_backend *backend, const qn_classifier_args *args, qn_workspace *w,
                    classifier_memory *memory) {
    const size_t row = qn_size_mul((size_t)row_floats(args), sizeof(float));
    const qn_gemm_args any = {.epilogue = QN_EPILOGUE_NONE};
    memory->gemm = qn_workspace_cut(w, qn_cuda_gemm_workspace(backend, &any));
    memory->logits =
        qn_workspace_cut(w, qn_size_mul((size_t)chunk_rows((const qn_cuda *)backend, args), row));
}

size_t qn_cuda_classifier_workspace(qn_backend *backend, const qn_classifier_args *args) {
    qn_workspace w = {0};
    classifier_memory memory;
    lay_out(backend, args, &w, &memory);
    return w.used;
}

/* ---- the operation ---------------------------------------------------------------------- */

/* dx comes last because it may be x. */
static qn_status run_chunk(qn_stream *stream, const qn_classifier_args *args,
                           const qn_cuda_logits *logits, int64_t first, void *workspace) {
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    const chunk_products p = products_of(args, logits, first, workspace);
    const bool wants_gradient = args->dx.data != NULL;
    QN_TRY(qn_cuda_gemm(stream, &p.logits));
    QN_CUDA_LAUNCH(qn_cuda_launch_cross_entropy(*logits,
                                                (const int32_t *)args->targets.data + first,
                                                (float *)args->losses.data + first, wants_gradient,
                                                args->grad_scale, &queue),
                   "classifier: launching its softmax");
    if (!wants_gradient) return QN_OK;
    if (args->dweight.data) QN_TRY(qn_cuda_gemm(stream, &p.dweight));
    return qn_cuda_gemm(stream, &p.dx);
}

qn_status qn_cuda_classifier(qn_stream *stream, const qn_classifier_args *args) {
    QN_TRY(qn_check_classifier(args, QN_BF16));
    const int64_t tokens = args->x.shape[0];
    if (tokens == 0) return QN_OK;
    qn_workspace w = {.memory = args->workspace};
    classifier_memory memory;
    lay_out(stream->backend, args, &w, &memory);
    QN_TRY(qn_check_workspace("classifier", args->workspace, w.used));
    const int64_t rows = chunk_rows(qn_cuda_of(stream), args);
    for (int64_t first = 0; first < tokens; first += rows) {
        const qn_cuda_logits logits = {.data = memory.logits,
                                       .rows = least(rows, tokens - first),
                                       .vocab = args->vocab_size,
                                       .columns = args->weight.shape[0],
                                       .row_floats = row_floats(args)};
        QN_TRY(run_chunk(stream, args, &logits, first, memory.gemm));
    }
    return QN_OK;
}
