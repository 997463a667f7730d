/* probe_text.h: the tokens of a text that count in probes. */
#ifndef QUERN_LENS_PROBE_TEXT_H
#define QUERN_LENS_PROBE_TEXT_H

#include "quern/probe.h"

/* Tokens of a batch, padding among them. */
static inline int64_t qn_batch_tokens(const qn_model *model) {
    const qn_plan_options *options = &qn_model_plan(model)->options;
    return options->batch_size * options->seq_len;
}

/* Tokens that are no padding. */
static inline int64_t qn_text_tokens(const qn_model *model, const qn_probe_text *text) {
    int64_t count = 0;
    for (int64_t b = 0; b < text->n_batches; b++)
        for (int64_t n = 0; n < qn_batch_tokens(model); n++)
            count += text->batches[b].targets[n] >= 0;
    return count;
}

#endif
