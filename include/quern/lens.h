/* lens.h: what attention does while a model trains, head by head, measured inside the attention
 * operation; and what reaches its parameters. */
#ifndef QUERN_LENS_H
#define QUERN_LENS_H

#include "quern/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Keys nearer than this are local to a query. */
enum { QN_LENS_LOCAL_WINDOW = 16 };

/* A measure of a head, of a layer (head −1) or of the model (layer −1 too). */
typedef struct qn_lens_figure {
    int64_t layer, head;
    const char *metric; /* a static name */
    double value;       /* NaN where n is 0 */
    double baseline;    /* what chance, or uniform attention, would give; NaN: there is none */
    int64_t n;          /* what it was taken over: rows, pairs, tokens */
    int64_t at;         /* which of several: a distance, another layer; −1: there is one */
    double error;       /* standard error; NaN: not known */
} qn_lens_figure;

/* Figures in the order they were added; {0} has none. */
typedef struct qn_lens_figures {
    qn_lens_figure *items;
    int64_t count, capacity;
} qn_lens_figures;

qn_status qn_lens_add(qn_lens_figures *figures, qn_lens_figure figure);
/* A head's figure (−1: of a layer, of the model); NULL when there is none. */
const qn_lens_figure *qn_lens_find(const qn_lens_figures *figures, const char *metric,
                                   int64_t layer, int64_t head);
/* The largest of a metric in a layer (−1: any); NULL when there is none. */
const qn_lens_figure *qn_lens_strongest(const qn_lens_figures *figures, const char *metric,
                                        int64_t layer);
void qn_lens_figures_free(qn_lens_figures *figures);

enum { QN_LENS_METRICS = 6 };

/* The measures of head `head` from what attention left in `stats` (host memory, Hq = n_heads):
 *   entropy    mean of H/ln n over rows of n > 1 visible keys (Zhai et al. 2303.06296); uniform 1
 *   max_logit  the largest scaled score; no baseline
 *   p_max      mean of the largest weight
 *   distance   mean of Σ p·(i−j), in positions (Vig & Belinkov 1906.04284)
 *   sink       mean weight of the first position of the document (Gu et al. 2410.10781)
 *   local      mean weight within local_window (Clark et al. 1906.04341) */
void qn_lens_metrics(const qn_attn_stats *stats, int64_t n_heads, int64_t layer, int64_t head,
                     qn_lens_figure out[QN_LENS_METRICS]);

/* A sampler of one model (QN_PLAN_TRAIN), which outlives it. */
typedef struct qn_lens qn_lens;

qn_status qn_lens_open(qn_model *model, qn_lens **out);
void qn_lens_close(qn_lens *lens);

/* Forward passes that are enqueued between the two are sampled. Neither changes a bit of what they
 * compute. */
qn_status qn_lens_begin(qn_lens *lens);
qn_status qn_lens_end(qn_lens *lens);

/* Waits for the device: the figures of the last sample, layer by layer, head by head; the lens's
 * until it is closed or begins again. */
qn_status qn_lens_read(qn_lens *lens, const qn_lens_figure **figures, int64_t *count);

/* ---- gradients ------------------------------------------------------------------------------- */

/* grad_norm_q and grad_norm_k of each layer (head −1), the norms of the gradients of Wq and Wk, and
 * grad_norm_embedding of the token embeddings (layer −1), of the gradients that a QN_PLAN_TRAIN
 * model holds: after a step, until the next one clears them, those of that step before clipping.
 * What is frozen has a gradient like any other. Waits for the device; changes nothing that a step
 * reads. */
qn_status qn_lens_gradients(qn_model *model, qn_lens_figures *out);

#ifdef __cplusplus
}
#endif
#endif
