/* probe.h: what the heads and layers of a model do with chosen tokens. Each probe runs a
 * QN_PLAN_INSPECT model over tokens of its own or over the caller's, reads what the pass left
 * (activations.h), computes in double, and adds figures. docs/lens.md has every metric with its
 * formula, its baseline and what its n counts. */
#ifndef QUERN_PROBE_H
#define QUERN_PROBE_H

#include "quern/lens.h"
#include "quern/words.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Text to probe with, in host memory: batches of the model's plan, the caller's. A target below 0
 * is padding: its token counts in no probe. */
typedef struct qn_probe_text {
    const qn_batch *batches;
    int64_t n_batches;
} qn_probe_text;

/* ---- patterns of heads, on random tokens; a function of (model, seed) ---------------------- */

/* previous_token, induction, offset (the strongest distance, as `at`, over all from 1 on that
 * enough rows reach). Tokens are drawn from [first, end), the ids of ordinary words; a sequence
 * begins with `bos` unless that is −1. Weights on the key at position 0 enter neither
 * previous_token nor offset: heads with nothing to look for look there. */
typedef struct qn_probe_tokens {
    int32_t first, end, bos;
    uint64_t seed;
} qn_probe_tokens;

enum {
    QN_PATTERN_TOKENS = 18
}; /* of a sequence, at least: a boundary, two periods of 8, one more */

qn_status qn_probe_patterns(qn_model *model, const qn_probe_tokens *tokens, qn_lens_figures *out);

/* Attention weights of a head in the model's last pass: rows 0 … count − 1 of sequence b, (count,
 * count), row i over keys j ≤ i, 0 where a key is not visible (behind the window, or of another
 * document where the plan has those). */
qn_status qn_probe_weights(qn_model *model, int64_t layer, int64_t head, int64_t b, int64_t count,
                           double *out);

/* ---- q and k of a text ----------------------------------------------------------------------- */

/* q_norm, k_norm, q_participation, k_participation, q_rank, k_rank, q_anisotropy, k_anisotropy,
 * of q and k before rotation. NaN where there is no such number: the spread of vectors that differ
 * by the rounding of fp32 alone, cosines of vectors of length 0. */
qn_status qn_probe_geometry(qn_model *model, const qn_probe_text *text, qn_lens_figures *out);

/* position_share, its error by the jackknife over 16 groups of sequences (NaN where one alone has
 * scores), its baseline that of the same q and k before rotation (NaN where nothing rotates);
 * score_deviation, the root of the mean variance of the scores that a row sees; and of models with
 * rotary positions profile (b(Δ), Δ as `at`). */
qn_status qn_probe_distance(qn_model *model, const qn_probe_text *text, qn_lens_figures *out);

/* ---- what a head is worth -------------------------------------------------------------------- */

/* QN_CODE_USAGE where the model has no such head. */
qn_status qn_check_head(const qn_config *config, int64_t layer, int64_t head);

/* Mean loss of the text in nats a token. */
qn_status qn_probe_loss(qn_model *model, const qn_probe_text *text, double *loss);

/* Sets the columns of the output projection that read a head to zero, or back. */
typedef struct qn_ablation qn_ablation;
qn_status qn_ablate_head(qn_model *model, int64_t layer, int64_t head, qn_ablation **out);
qn_status qn_ablation_undo(qn_ablation *ablation); /* and frees it */

/* ablation: the loss of the text without the head, less that with it; of one head, or of every
 * head where layer is −1. */
qn_status qn_probe_ablation(qn_model *model, const qn_probe_text *text, int64_t layer, int64_t head,
                            qn_lens_figures *out);

/* ---- the residual stream --------------------------------------------------------------------- */

/* lens_accuracy, lens_loss, lens_entropy, lens_kl at each depth 0 … n_layers, as `layer`
 * (nostalgebraist's logit lens); and lens_word_accuracy of the targets that begin a word, where
 * `begins_word` (V, nullable) says which do: of these the word before tells less by its letters. */
qn_status qn_probe_logit_lens(qn_model *model, const qn_probe_text *text, const bool *begins_word,
                              qn_lens_figures *out);

/* cka: linear centred kernel alignment of the residual at depth `layer` with that at depth
 * `at` > `layer`, over at most 1,024 tokens, evenly from the
 * text (Kornblith et al. 1905.00414). Of L layers it holds 4·(L + 1)·n·C bytes. */
qn_status qn_probe_similarity(qn_model *model, const qn_probe_text *text, qn_lens_figures *out);

/* ---- parameters ------------------------------------------------------------------------------ */

/* Wq, Wk and the embeddings as they were. */
typedef struct qn_probe_origin qn_probe_origin;

/* Copies them, from the model of a run's first checkpoint, which outlives the copy. */
qn_status qn_probe_origin_take(qn_model *model, qn_probe_origin **out);
void qn_probe_origin_free(qn_probe_origin *origin);

/* change_q, change_k of each layer, change_embedding: ‖W − W₀‖/‖W₀‖ of the same model with what
 * parameters it has now. */
qn_status qn_probe_change(qn_model *model, const qn_probe_origin *origin, qn_lens_figures *out);

/* ---- words ----------------------------------------------------------------------------------- */

/* {q,k,row,embedding}_{synonym,antonym}_{cosine,auc} and {q,k,row,embedding}_shuffled_auc, of the
 * mean vectors of words over their occurrences in the text, less the mean of all words: of a head
 * by q and by k before rotation; of the model (layer −1, head −1) by its input embeddings; `row` by
 * the scores of a word's q against the k of the commonest words, which no change of basis of q and
 * k alters. Words are those of the pairs that occur at least five times; figures compare their
 * pairs with pairs of other words that are as frequent, and `shuffled` compares with these the
 * synonyms with their second words exchanged. Errors take into account that pairs share words.
 * `seed` draws the matched pairs and the exchange. Fewer than eight pairs give figures of n pairs
 * and NaN. */
qn_status qn_probe_synonyms(qn_model *model, const qn_probe_text *text,
                            const qn_word_pairs *synonyms, const qn_word_pairs *antonyms,
                            uint64_t seed, qn_lens_figures *out);

#ifdef __cplusplus
}
#endif
#endif
