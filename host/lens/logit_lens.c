/* logit_lens.c: what the residual stream predicts at each depth, through the final norm and the
 * classifier's table (nostalgebraist 2020). */
#include <math.h>
#include <stdlib.h>

#include "lens/probe_text.h"
#include "quern/activations.h"

/* Tokens whose logits are in memory at once: the model's own distribution of a chunk is read once
 * for all depths. */
enum { CHUNK = 64 };

typedef struct depth_sums {
    double loss, entropy, kl;
    int64_t hits, word_hits; /* of all targets; of those that begin a word */
} depth_sums;

typedef struct logit_lens {
    qn_model *model;
    int64_t vocab_size, n_layers;
    float *early, *final; /* (CHUNK,V) logits: at a depth, and the model's own */
    double *p;            /* (CHUNK,V) the model's own distribution */
    double final_lse[CHUNK];
    depth_sums *sums; /* (n_layers + 1) */
    int64_t *targets; /* (V) how often each is one */
    int64_t n_tokens, n_words;
    const bool *begins_word; /* (V) or NULL */
} logit_lens;

/* ---- a row of logits ---------------------------------------------------------------------- */

typedef struct prediction {
    double lse, entropy; /* log Σ exp, and nats */
    int64_t best;        /* −1 where a logit is NaN */
} prediction;

static prediction predict(const float *logits, int64_t V) {
    prediction out = {.best = 0};
    for (int64_t i = 1; i < V; i++)
        if (logits[i] > logits[out.best]) out.best = i;
    const double most = (double)logits[out.best];
    double sum = 0, weighted = 0;
    for (int64_t i = 0; i < V; i++) {
        const double below = (double)logits[i] - most, weight = exp(below);
        sum += weight;
        weighted += weight * below;
    }
    out.lse = most + log(sum);
    out.entropy = log(sum) - weighted / sum;
    if (isnan(out.lse)) out.best = -1;
    return out;
}

/* Σ p·(log p − log q). */
static double divergence(const logit_lens *lens, int64_t row, const float *logits, double lse) {
    const int64_t V = lens->vocab_size;
    const float *final = lens->final + row * V;
    const double *p = lens->p + row * V;
    const double shift = lse - lens->final_lse[row];
    double sum = 0;
    for (int64_t i = 0; i < V; i++) sum += p[i] * ((double) final[i] - (double)logits[i] + shift);
    return sum;
}

/* ---- a chunk of tokens -------------------------------------------------------------------- */

typedef struct chunk {
    const int32_t *targets; /* of its rows */
    int64_t first, count;   /* rows of the batch */
} chunk;

static bool begins_word(const logit_lens *lens, int64_t target) {
    return lens->begins_word && lens->begins_word[target];
}

static void normalise_final(logit_lens *lens, const chunk *c) {
    const int64_t V = lens->vocab_size;
    for (int64_t row = 0; row < c->count; row++) {
        const float *logits = lens->final + row * V;
        lens->final_lse[row] = predict(logits, V).lse;
        for (int64_t i = 0; i < V; i++)
            lens->p[row * V + i] = exp((double)logits[i] - lens->final_lse[row]);
    }
}

static void add_depth(logit_lens *lens, const chunk *c, const float *logits, depth_sums *sums) {
    for (int64_t row = 0; row < c->count; row++) {
        const int32_t target = c->targets[row];
        if (target < 0) continue;
        const float *x = logits + row * lens->vocab_size;
        const prediction seen = predict(x, lens->vocab_size);
        sums->loss += seen.lse - (double)x[target];
        sums->entropy += seen.entropy;
        sums->kl += divergence(lens, row, x, seen.lse);
        sums->hits += seen.best == target;
        sums->word_hits += begins_word(lens, target) && seen.best == target;
    }
}

static qn_status read_chunk(logit_lens *lens, const chunk *c) {
    QN_TRY(qn_model_read_logits(lens->model, lens->n_layers, c->first, c->count, lens->final));
    normalise_final(lens, c);
    for (int64_t depth = 0; depth < lens->n_layers; depth++) {
        QN_TRY(qn_model_read_logits(lens->model, depth, c->first, c->count, lens->early));
        add_depth(lens, c, lens->early, &lens->sums[depth]);
    }
    add_depth(lens, c, lens->final, &lens->sums[lens->n_layers]);
    return QN_OK;
}

/* ---- the text ------------------------------------------------------------------------------ */

static qn_status count_targets(logit_lens *lens, const chunk *c, int64_t *kept) {
    *kept = 0;
    for (int64_t row = 0; row < c->count; row++) {
        const int32_t target = c->targets[row];
        if (target < 0) continue;
        if (target >= lens->vocab_size) {
            return qn_error(QN_CODE_INVALID, "target %d of token %lld: expected less than %lld",
                            target, (long long)(c->first + row), (long long)lens->vocab_size);
        }
        lens->targets[target]++;
        lens->n_words += begins_word(lens, target);
        ++*kept;
    }
    lens->n_tokens += *kept;
    return QN_OK;
}

static qn_status read_batch(logit_lens *lens, const qn_batch *batch) {
    const int64_t N = qn_batch_tokens(lens->model);
    double loss;
    QN_TRY(qn_model_evaluate(lens->model, batch, &loss));
    for (int64_t first = 0; first < N; first += CHUNK) {
        const chunk c = {batch->targets + first, first, N - first < CHUNK ? N - first : CHUNK};
        int64_t kept;
        QN_TRY(count_targets(lens, &c, &kept));
        if (kept) QN_TRY(read_chunk(lens, &c));
    }
    return QN_OK;
}

static double mean(double sum, int64_t n) { return n ? sum / (double)n : (double)NAN; }

/* Of tokens whose loss is a number. */
static double accuracy(int64_t hits, int64_t n, double loss) {
    return isnan(loss) ? (double)NAN : mean((double)hits, n);
}

/* Of all targets, or of those that begin a word. */
static double commonest_share(const logit_lens *lens, bool words) {
    int64_t most = 0;
    for (int64_t i = 0; i < lens->vocab_size; i++)
        if (lens->targets[i] > most && (!words || begins_word(lens, i))) most = lens->targets[i];
    return mean((double)most, words ? lens->n_words : lens->n_tokens);
}

static qn_status report_words(const logit_lens *lens, qn_lens_figures *out) {
    const double commonest = commonest_share(lens, true);
    for (int64_t depth = 0; depth <= lens->n_layers; depth++) {
        const depth_sums *sums = &lens->sums[depth];
        QN_TRY(qn_lens_add(
            out, (qn_lens_figure){.layer = depth,
                                  .head = -1,
                                  .metric = "lens_word_accuracy",
                                  .value = accuracy(sums->word_hits, lens->n_words, sums->loss),
                                  .baseline = commonest,
                                  .n = lens->n_words,
                                  .at = -1,
                                  .error = (double)NAN}));
    }
    return QN_OK;
}

static qn_status report(const logit_lens *lens, qn_lens_figures *out) {
    const double none = (double)NAN, uniform = log((double)lens->vocab_size);
    const double commonest = commonest_share(lens, false);
    const int64_t n = lens->n_tokens;
    for (int64_t depth = 0; depth <= lens->n_layers; depth++) {
        const depth_sums *sums = &lens->sums[depth];
        const qn_lens_figure figures[] = {
            {depth, -1, "lens_accuracy", accuracy(sums->hits, n, sums->loss), commonest, n, -1,
             none},
            {depth, -1, "lens_loss", mean(sums->loss, n), uniform, n, -1, none},
            {depth, -1, "lens_entropy", mean(sums->entropy, n), uniform, n, -1, none},
            {depth, -1, "lens_kl", mean(sums->kl, n), none, n, -1, none}};
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
            QN_TRY(qn_lens_add(out, figures[i]));
    }
    return lens->begins_word ? report_words(lens, out) : QN_OK;
}

static qn_status allocate(logit_lens *lens) {
    const size_t V = (size_t)lens->vocab_size, logits = CHUNK * V;
    lens->early = malloc(logits * sizeof *lens->early);
    lens->final = malloc(logits * sizeof *lens->final);
    lens->p = malloc(logits * sizeof *lens->p);
    lens->sums = calloc((size_t)lens->n_layers + 1, sizeof *lens->sums);
    lens->targets = calloc(V, sizeof *lens->targets);
    if (lens->early && lens->final && lens->p && lens->sums && lens->targets) return QN_OK;
    return qn_error(QN_CODE_MEMORY, "logit lens: no host memory for %d rows of %lld logits", CHUNK,
                    (long long)lens->vocab_size);
}

qn_status qn_probe_logit_lens(qn_model *model, const qn_probe_text *text, const bool *begins_word,
                              qn_lens_figures *out) {
    const qn_config *config = &qn_model_plan(model)->config;
    logit_lens lens = {.model = model,
                       .vocab_size = config->vocab_size,
                       .n_layers = config->n_layers,
                       .begins_word = begins_word};
    qn_status status = allocate(&lens);
    for (int64_t b = 0; b < text->n_batches && !status; b++)
        status = read_batch(&lens, &text->batches[b]);
    if (!status) status = report(&lens, out);
    free(lens.early);
    free(lens.final);
    free(lens.p);
    free(lens.sums);
    free(lens.targets);
    return status;
}
