/* probe_sample.h: text for probes, in host memory. */
#ifndef QUERN_TRAIN_PROBE_SAMPLE_H
#define QUERN_TRAIN_PROBE_SAMPLE_H

#include "quern/loader.h"
#include "quern/probe.h"

typedef struct qn_probe_sample {
    qn_probe_text text;
    qn_batch *batches;
    int32_t *ids; /* what the batches point into */
} qn_probe_sample;

/* Batches (B,T) with about max_tokens targets, evenly out of a loader that does not shuffle. */
qn_status qn_probe_sample_fill(const qn_loader *loader, int64_t B, int64_t T, int64_t max_tokens,
                               qn_probe_sample *out);
void qn_probe_sample_free(qn_probe_sample *sample);

#endif
