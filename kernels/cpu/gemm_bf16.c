/* gemm_bf16.c: bf16 products by oneDNN's matmul. The only file that knows oneDNN, through
 * the C interface of its version 2. */
#include "gemm_bf16.h"

#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

#if DNNL_VERSION_MAJOR != 2
#error "gemm_bf16.c is written for the C interface of oneDNN 2"
#endif

/* A primitive is made for one shape, and making it costs more than a small product. */
typedef struct entry {
    qn_bf16_product product;
    dnnl_memory_desc_t a, b, c;
    dnnl_primitive_t primitive;
    struct entry *next;
} entry;

enum { MAX_ENTRIES = 256 };

struct qn_bf16_gemm {
    pthread_mutex_t lock; /* of the list, and of the stream while it runs */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    entry *entries;
    int count;
};

static bool cpu_has_bf16(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

static qn_status failed(const char *what, dnnl_status_t status) {
    qn_code code = status == dnnl_out_of_memory ? QN_CODE_MEMORY : QN_CODE_UNSUPPORTED;
    return qn_error(code, "gemm: oneDNN cannot %s: error %d", what, (int)status);
}

#define DNNL_TRY(what, call)                                                                       \
    do {                                                                                           \
        dnnl_status_t dnnl_try_ = (call);                                                          \
        if (dnnl_try_ != dnnl_success) return failed(what, dnnl_try_);                             \
    } while (0)

/* ---- the list of primitives ------------------------------------------------------ */

static void clear_entries(qn_bf16_gemm *gemm) {
    while (gemm->entries) {
        entry *first = gemm->entries;
        gemm->entries = first->next;
        if (first->primitive) dnnl_primitive_destroy(first->primitive);
        free(first);
    }
    gemm->count = 0;
}

void qn_bf16_gemm_close(qn_bf16_gemm *gemm) {
    if (!gemm) return;
    clear_entries(gemm);
    if (gemm->stream) dnnl_stream_destroy(gemm->stream);
    if (gemm->engine) dnnl_engine_destroy(gemm->engine);
    pthread_mutex_destroy(&gemm->lock);
    free(gemm);
}

static qn_status start_engine(qn_bf16_gemm *gemm) {
    DNNL_TRY("open the CPU", dnnl_engine_create(&gemm->engine, dnnl_cpu, 0));
    DNNL_TRY("open a stream",
             dnnl_stream_create(&gemm->stream, gemm->engine, dnnl_stream_default_flags));
    return QN_OK;
}

qn_status qn_bf16_gemm_open(qn_bf16_gemm **out) {
    *out = NULL;
    if (!cpu_has_bf16()) return QN_OK;
    qn_bf16_gemm *gemm = calloc(1, sizeof *gemm);
    if (!gemm) return qn_error(QN_CODE_MEMORY, "cannot allocate the bf16 products");
    pthread_mutex_init(&gemm->lock, NULL);
    qn_status status = start_engine(gemm);
    if (status) {
        qn_bf16_gemm_close(gemm);
        return status;
    }
    *out = gemm;
    return QN_OK;
}

static bool is_same(const qn_bf16_product *x, const qn_bf16_product *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->transpose_a == y->transpose_a &&
           x->transpose_b == y->transpose_b && x->c_stride == y->c_stride && x->beta == y->beta &&
           x->n_threads == y->n_threads;
}

/* ---- one primitive ------------------------------------------------------------------ */

/* A dense (rows,cols) operand, or the transpose of a dense (cols,rows) one. */
static dnnl_status_t describe(dnnl_memory_desc_t *out, int64_t rows, int64_t cols,
                              bool is_transposed) {
    const dnnl_dims_t shape = {rows, cols};
    const dnnl_dims_t stride = {is_transposed ? 1 : cols, is_transposed ? rows : 1};
    return dnnl_memory_desc_init_by_strides(out, 2, shape, dnnl_bf16, stride);
}

/* beta·C is oneDNN's "sum" after the product. */
static dnnl_status_t add_beta(dnnl_primitive_attr_t attr, float beta) {
    dnnl_post_ops_t post;
    dnnl_status_t status = dnnl_post_ops_create(&post);
    if (status != dnnl_success) return status;
    status = dnnl_post_ops_append_sum(post, beta);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_post_ops_destroy(post);
    return status;
}

static dnnl_status_t make_primitive(dnnl_engine_t engine, entry *e, dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t primitive_desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, &e->a, &e->b, NULL, &e->c);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&primitive_desc, &desc, attr, engine, NULL);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_create(&e->primitive, primitive_desc);
    dnnl_primitive_desc_destroy(primitive_desc);
    return status;
}

static qn_status fill_entry(dnnl_engine_t engine, entry *e) {
    const qn_bf16_product *p = &e->product;
    const dnnl_dims_t shape = {p->m, p->n}, stride = {p->c_stride, 1};
    DNNL_TRY("describe A", describe(&e->a, p->m, p->k, p->transpose_a));
    DNNL_TRY("describe B", describe(&e->b, p->k, p->n, p->transpose_b));
    DNNL_TRY("describe C", dnnl_memory_desc_init_by_strides(&e->c, 2, shape, dnnl_f32, stride));
    dnnl_primitive_attr_t attr;
    DNNL_TRY("make attributes", dnnl_primitive_attr_create(&attr));
    dnnl_status_t status = p->beta != 0 ? add_beta(attr, p->beta) : dnnl_success;
    if (status == dnnl_success) status = make_primitive(engine, e, attr);
    dnnl_primitive_attr_destroy(attr);
    DNNL_TRY("make a bf16 product", status);
    return QN_OK;
}

static qn_status find_entry(qn_bf16_gemm *gemm, const qn_bf16_product *product, entry **out) {
    for (entry *e = gemm->entries; e; e = e->next)
        if (is_same(&e->product, product)) {
            *out = e;
            return QN_OK;
        }
    if (gemm->count == MAX_ENTRIES) clear_entries(gemm);
    entry *e = calloc(1, sizeof *e);
    if (!e) return qn_error(QN_CODE_MEMORY, "gemm: cannot allocate a bf16 product");
    e->product = *product;
    qn_status status = fill_entry(gemm->engine, e);
    if (status) {
        free(e);
        return status;
    }
    e->next = gemm->entries;
    gemm->entries = e;
    gemm->count++;
    *out = e;
    return QN_OK;
}

/* ---- running it -------------------------------------------------------------------------- */

static dnnl_status_t execute(qn_bf16_gemm *gemm, const entry *e, void *const data[3]) {
    const dnnl_memory_desc_t *desc[] = {&e->a, &e->b, &e->c};
    const int name[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[3];
    dnnl_status_t status = dnnl_success;
    int made = 0;
    for (; made < 3 && status == dnnl_success; made++) {
        args[made] = (dnnl_exec_arg_t){name[made], NULL};
        status = dnnl_memory_create(&args[made].memory, desc[made], gemm->engine, data[made]);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(e->primitive, gemm->stream, 3, args);
    if (status == dnnl_success) status = dnnl_stream_wait(gemm->stream);
    for (int i = 0; i < made; i++)
        if (args[i].memory) dnnl_memory_destroy(args[i].memory);
    return status;
}

static qn_status run_locked(qn_bf16_gemm *gemm, const qn_bf16_product *product,
                            void *const data[3]) {
    entry *e;
    QN_TRY(find_entry(gemm, product, &e));
    DNNL_TRY("run a bf16 product", execute(gemm, e, data));
    return QN_OK;
}

/* oneDNN takes its thread count from OpenMP's setting for the calling thread. */
qn_status qn_bf16_gemm_run(qn_bf16_gemm *gemm, const qn_bf16_product *product, const uint16_t *a,
                           const uint16_t *b, float *c) {
    void *const data[] = {(void *)(uintptr_t)a, (void *)(uintptr_t)b, c};
    int before = omp_get_max_threads();
    pthread_mutex_lock(&gemm->lock);
    omp_set_num_threads(product->n_threads);
    qn_status status = run_locked(gemm, product, data);
    omp_set_num_threads(before);
    pthread_mutex_unlock(&gemm->lock);
    return status;
}
