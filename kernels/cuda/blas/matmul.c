/* matmul.c: one axis of a nest becomes the batch of a product, the others are loops. */
#include "matmul.h"

#include "product.h"

/* The longest axis that C moves along; cuBLASLt orders nothing within a batch. */
static int batch_axis(const qn_products *p) {
    int longest = -1;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        if ((p->c.step[axis] || p->count[axis] == 1) &&
            (longest < 0 || p->count[axis] > p->count[longest]))
            longest = axis;
    return longest;
}

/* The matrices of the batch that begins at `index`. */
static qn_factor factor_at(const qn_operand *x, const int64_t index[], int batch) {
    int64_t at = 0;
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++) at += index[axis] * x->step[axis];
    return (qn_factor){.data = (char *)x->data + at * (int64_t)qn_dtype_size(x->dtype),
                       .dtype = x->dtype,
                       .row = x->row,
                       .step = x->step[batch],
                       .transpose = x->transpose};
}

static bool is_first_of_sum(const qn_products *p, const int64_t index[]) {
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        if (p->c.step[axis] == 0 && index[axis] > 0) return false;
    return true;
}

static qn_status run_batch(qn_stream *stream, const qn_products *p, const int64_t index[],
                           int batch, void *workspace) {
    const qn_product product = {.m = p->m,
                                .n = p->n,
                                .k = p->k,
                                .batch = p->count[batch],
                                .a = factor_at(&p->a, index, batch),
                                .b = factor_at(&p->b, index, batch),
                                .c = factor_at(&p->c, index, batch),
                                .alpha = p->alpha,
                                .beta = is_first_of_sum(p, index) ? 0 : 1};
    return qn_multiply(stream, &product, workspace);
}

qn_status qn_matmul(qn_stream *stream, const qn_products *p, void *workspace) {
    const int batch = batch_axis(p);
    int64_t end[QN_MATMUL_AXES], i[QN_MATMUL_AXES];
    for (int axis = 0; axis < QN_MATMUL_AXES; axis++)
        end[axis] = axis == batch ? 1 : p->count[axis];
    for (i[0] = 0; i[0] < end[0]; i[0]++)
        for (i[1] = 0; i[1] < end[1]; i[1]++)
            for (i[2] = 0; i[2] < end[2]; i[2]++) QN_TRY(run_batch(stream, p, i, batch, workspace));
    return QN_OK;
}
