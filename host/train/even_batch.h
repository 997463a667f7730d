/* even_batch.h: batches of sequences that lie evenly over a text. */
#ifndef QUERN_TRAIN_EVEN_BATCH_H
#define QUERN_TRAIN_EVEN_BATCH_H

#include "quern/loader.h"

/* Sequences [first, first + B) of the `end` that are read of a loader that does not shuffle; those
 * from `end` on are all ignored targets. tokens, targets, doc_start (B,T). */
qn_status qn_even_fill(const qn_loader *loader, int64_t first, int64_t end, int64_t B, int64_t T,
                       int32_t *tokens, int32_t *targets, int32_t *doc_start);

#endif
