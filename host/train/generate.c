#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quern/philox.h"
#include "quern/train.h"

/* ---- sampling ------------------------------------------------------------------------- */

static int by_logit(const void *a, const void *b, void *logits) {
    const float x = ((const float *)logits)[*(const int32_t *)a];
    const float y = ((const float *)logits)[*(const int32_t *)b];
    if (x != y) return x < y ? 1 : -1;
    return *(const int32_t *)a < *(const int32_t *)b ? -1 : 1;
}

static int32_t most_probable(const float *logits, int64_t vocab_size) {
    int32_t best = 0;
    for (int32_t i = 1; i < vocab_size; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

int32_t qn_sample(const float *logits, int64_t vocab_size, const qn_sampling *s, uint64_t position,
                  int32_t *order) {
    if (s->temperature <= 0) return most_probable(logits, vocab_size);
    for (int32_t i = 0; i < vocab_size; i++) order[i] = i;
    qsort_r(order, (size_t)vocab_size, sizeof *order, by_logit, (void *)(uintptr_t)logits);
    int64_t n = s->top_k > 0 && s->top_k < vocab_size ? s->top_k : vocab_size;
    const double top = logits[order[0]];
    double total = 0, nucleus = 0;
    for (int64_t i = 0; i < n; i++) total += exp((logits[order[i]] - top) / s->temperature);
    for (int64_t i = 0; i < n; i++) {
        nucleus += exp((logits[order[i]] - top) / s->temperature);
        if (nucleus >= s->top_p * total) n = i + 1;
    }
    const qn_philox r = qn_philox_at(s->seed, QN_RANDOM_SAMPLE, 0, position);
    double left = qn_uniform(r.x[0]) * nucleus;
    for (int64_t i = 0; i < n; i++) {
        left -= exp((logits[order[i]] - top) / s->temperature);
        if (left <= 0) return order[i];
    }
    return order[n - 1];
}

/* ---- generation -------------------------------------------------------------------------- */

typedef struct generation {
    qn_model *model;
    int64_t capacity; /* positions of the cache */
    int32_t *context; /* the tokens that lie in it, and what is to come */
    int64_t length;   /* of the context */
    int64_t cached;   /* leading tokens whose keys and values are in the cache */
    float *logits;
    int32_t *scratch;
} generation;

/* Puts a token behind the context; a full one loses its older half first. */
static void push(generation *g, int32_t token) {
    if (g->length == g->capacity) {
        const int64_t dropped = (g->capacity + 1) / 2;
        memmove(g->context, g->context + dropped,
                (size_t)(g->length - dropped) * sizeof *g->context);
        g->length -= dropped;
        g->cached = 0;
    }
    g->context[g->length++] = token;
}

static qn_status generate(generation *g, const int32_t *prompt, int64_t count, int64_t max_tokens,
                          const qn_sampling *sampling, bool (*emit)(void *, int32_t),
                          void *context) {
    const int64_t vocab_size = qn_model_plan(g->model)->config.vocab_size, n = sampling->n_tokens;
    const int64_t V = n > 0 && n < vocab_size ? n : vocab_size;
    for (int64_t i = 0; i < count; i++) push(g, prompt[i]);
    for (int64_t i = 0; i < max_tokens; i++) {
        QN_TRY(qn_model_extend(g->model, g->context + g->cached, g->cached, g->length - g->cached,
                               g->logits));
        g->cached = g->length;
        const int32_t token = qn_sample(g->logits, V, sampling, (uint64_t)i, g->scratch);
        if (!emit(context, token)) return QN_OK;
        push(g, token);
    }
    return QN_OK;
}

qn_status qn_generate(qn_model *model, const int32_t *prompt, int64_t count, int64_t max_tokens,
                      const qn_sampling *sampling, bool (*emit)(void *, int32_t), void *context) {
    const qn_plan *plan = qn_model_plan(model);
    const size_t V = (size_t)plan->config.vocab_size;
    if (count < 1) return qn_error(QN_CODE_USAGE, "the prompt is empty; give at least one token");
    generation g = {.model = model, .capacity = plan->options.seq_len};
    g.context = malloc((size_t)g.capacity * sizeof *g.context);
    g.logits = malloc(V * sizeof *g.logits);
    g.scratch = malloc(V * sizeof *g.scratch);
    qn_status status =
        g.context && g.logits && g.scratch
            ? generate(&g, prompt, count, max_tokens, sampling, emit, context)
            : qn_error(QN_CODE_MEMORY, "no host memory for %lld positions and %zu logits",
                       (long long)g.capacity, V);
    free(g.context);
    free(g.logits);
    free(g.scratch);
    return status;
}
