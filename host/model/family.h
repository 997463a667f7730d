/* family.h: what tells the Hugging Face model classes that quern runs from each other. */
#ifndef QUERN_MODEL_FAMILY_H
#define QUERN_MODEL_FAMILY_H

#include "quern/config.h"

enum {
    QN_MAX_LAYERS = 10000,
    QN_MAX_HEAD_DIM = 256,
    QN_MAX_SIZE = INT32_MAX, /* token ids and positions are int32 */
};

typedef struct qn_family {
    const char *architecture; /* the class */
    const char *model_type;
    qn_arch arch;
    bool qkv_bias, qk_norm;
    /* Where a sliding window is configured: nowhere, in sliding_window alone, or with
     * use_sliding_window and max_window_layers besides. */
    enum { QN_WINDOW_NONE, QN_WINDOW_PLAIN, QN_WINDOW_SWITCHED } window;
    /* Defaults of absent keys. */
    int64_t n_kv_heads; /* 0: n_heads */
    int64_t head_dim;   /* 0: hidden_size / n_heads */
    int64_t max_seq_len;
    int64_t bos_id, eos_id;
} qn_family;

/* All families, ended by one without an architecture. */
extern const qn_family qn_families[];

/* NULL when quern does not run that class. */
const qn_family *qn_family_find(const char *architecture);

#endif
