/* inspect.h: all probes of a model, over text of a data folder. */
#ifndef QUERN_INSPECT_H
#define QUERN_INSPECT_H

#include "quern/dataset.h"
#include "quern/probe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_inspect_part {
    QN_INSPECT_PATTERNS,
    QN_INSPECT_GEOMETRY,
    QN_INSPECT_DISTANCE,
    QN_INSPECT_ABLATION,
    QN_INSPECT_LOGIT_LENS,
    QN_INSPECT_SIMILARITY,
    QN_INSPECT_SYNONYMS,
    QN_INSPECT_PICTURES,
    QN_N_INSPECT_PARTS,
} qn_inspect_part;

/* "patterns", "geometry", …; ended by NULL. */
extern const char *const qn_inspect_names[];

typedef struct qn_inspect_options {
    unsigned parts;               /* a bit for each qn_inspect_part */
    int64_t tokens;               /* of held-out text that probes read */
    int64_t word_tokens;          /* of training text that the probe of synonyms reads */
    const char *wordnet;          /* folder of WordNet's files */
    const char *const *sentences; /* of pictures; NULL: three of quern's own */
    int n_sentences;
    int64_t layer, head; /* to ablate; −1: every head */
    uint64_t seed;
    void (*on_note)(void *context, const char *message); /* nullable: what is left out, and why */
    void (*on_part)(void *context, const char *name);    /* nullable: what begins */
    void *context;
} qn_inspect_options;

/* Text and words for probes of QN_PLAN_INSPECT models that are planned alike. */
typedef struct qn_inspector qn_inspector;

/* What the data folder, which has no text for some part or no tokenizer, does not allow is left
 * out with a note; `data` is its path, for messages. Without a dataset (NULL) only patterns are
 * left, over the whole vocabulary. Options and dataset outlive the inspector. */
qn_status qn_inspector_open(const qn_model *model, const qn_dataset *dataset, const char *data,
                            const qn_inspect_options *options, qn_inspector **out);
void qn_inspector_close(qn_inspector *inspector);

/* Adds the figures of every part but pictures. */
qn_status qn_inspector_measure(const qn_inspector *inspector, qn_model *model,
                               qn_lens_figures *out);

#ifdef __cplusplus
}
#endif
#endif
