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
    /* Nullable: a part of the checkpoint of a step begins; `done` of all the work is. */
    void (*on_part)(void *context, int64_t step, const char *part, double done);
    void *context;
} qn_inspect_options;

/* Text and words for probes of QN_PLAN_INSPECT models that are planned alike. */
typedef struct qn_inspector qn_inspector;

/* What the data folder, which has no text for some part or no tokenizer, does not allow is left
 * out with a note, and so are patterns of sequences that are too short; `data` is its path, for
 * messages. Without a dataset (NULL) only patterns are left, over the whole vocabulary. Options and
 * dataset outlive the inspector. QN_CODE_USAGE where there is no such head to ablate. */
qn_status qn_inspector_open(const qn_model *model, const qn_dataset *dataset, const char *data,
                            const qn_inspect_options *options, qn_inspector **out);
void qn_inspector_close(qn_inspector *inspector);

/* Hands a message to on_note. */
void qn_inspector_note(const qn_inspector *inspector, const char *message);

/* Where a checkpoint stands in the work: what on_part hears. */
typedef struct qn_inspect_place {
    int64_t step, tokens; /* done and read by the run */
    double done, share;   /* of the work: before it, and its own */
    bool last;            /* of the checkpoints: what every head is worth is measured there alone */
} qn_inspect_place;

/* Adds the figures of every part but pictures. */
qn_status qn_inspector_measure(const qn_inspector *inspector, qn_model *model,
                               const qn_inspect_place *place, qn_lens_figures *out);

/* ---- the checkpoints of a run ---------------------------------------------------------------- */

typedef struct qn_inspect_target {
    char *folder;         /* with config.json and weights */
    int64_t step, tokens; /* done and read by then */
} qn_inspect_target;

typedef struct qn_inspect_targets {
    qn_inspect_target *items; /* ascending steps */
    int64_t count;
} qn_inspect_targets;

/* The probes of a run and the newest of its checkpoints, or, where step is not −1, the one of that
 * step alone; QN_CODE_USAGE where there is none. `note` (nullable) hears of damaged ones. */
qn_status qn_inspect_targets_find(const char *run, int64_t step,
                                  void (*note)(void *context, const char *message), void *context,
                                  qn_inspect_targets *out);
void qn_inspect_targets_free(qn_inspect_targets *targets);

/* Measures one checkpoint after the other in `model`, which has the config of all, and writes
 * DIR/inspect.jsonl and DIR/pictures.jsonl (docs/lens.md; where dir is NULL, nothing), each whole
 * or not at all. Where the first of several is of step 0 the change since then is measured too. One
 * that is gone by then is passed over with a note. *last gets the figures of the last. */
qn_status qn_inspect_all(const qn_inspector *inspector, qn_model *model,
                         const qn_inspect_targets *targets, const char *dir, qn_lens_figures *last);

#ifdef __cplusplus
}
#endif
#endif
