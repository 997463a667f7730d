#include "cli/attention_floor.h"

#include <math.h>

#include "cli/gpu_peak.h"
#include "quern/train.h"

/* ---- ceilings -------------------------------------------------------------------- */

qn_status qn_ceilings_find(qn_backend *backend, const qn_device_info *device, qn_ceilings *out) {
    *out = (qn_ceilings){.flops_how = "measured", .bytes_how = "measured"};
    QN_TRY(qn_measure_copy(backend, &out->bytes_per_s));
    qn_status status = qn_measure_ceiling(backend, QN_PRECISION_AUTO, 0.2, &out->flops_per_s);
    if (!status || qn_status_code(status) != QN_CODE_UNSUPPORTED) return status;
    qn_status_free(status);
    out->flops_per_s = qn_gpu_peak(device->name);
    out->flops_how = out->flops_per_s > 0 ? "of the data sheet" : "unknown";
    return QN_OK;
}

/* ---- floors ------------------------------------------------------------------------ */

static double bytes_of_tensors(const qn_attention_problem *p, bool backward) {
    const double rows = (double)(p->shape.batch * p->shape.seq_len);
    const double width = (double)(p->shape.head_dim * (int64_t)qn_dtype_size(p->storage));
    const double q = rows * (double)p->shape.n_heads * width;
    const double k = rows * (double)p->shape.n_kv_heads * width;
    const double lse = rows * (double)p->shape.n_heads * (double)sizeof(float);
    return backward ? 4 * q + 4 * k + lse : 2 * q + 2 * k + lse;
}

/* Operations and bytes of the scores that the naive path keeps in memory, as attention_floor.h says
 * it. */
static void add_scores(const qn_attention_problem *p, bool backward, qn_floor *floor) {
    const qn_attention_check check = qn_attention_problem_check(p);
    const double heads = (double)(p->shape.batch * p->shape.n_heads);
    const double all = heads * (double)p->shape.seq_len * (double)p->shape.seq_len;
    const double seen = heads * qn_attention_pairs(&check);
    const double wide = sizeof(float), narrow = (double)qn_dtype_size(p->storage);
    const int made = backward ? 2 : 1, read = backward ? 3 : 1; /* of matrices; by products */
    floor->flops = (backward ? 10 : 4) * all * (double)p->shape.head_dim;
    floor->bytes += made * (all * wide + seen * wide + all * narrow) + read * all * narrow;
}

qn_floor qn_attention_floor(const qn_attention_problem *p, bool backward, bool naive,
                            const qn_ceilings *c) {
    qn_floor floor = {.flops = (backward ? 2.5 : 1) * p->flops,
                      .bytes = bytes_of_tensors(p, backward)};
    if (naive) add_scores(p, backward, &floor);
    if (c->flops_per_s > 0 && c->bytes_per_s > 0)
        floor.seconds = fmax(floor.flops / c->flops_per_s, floor.bytes / c->bytes_per_s);
    return floor;
}
