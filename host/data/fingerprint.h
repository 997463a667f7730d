/* fingerprint.h: the fingerprint of shards that are one text, or examples. */
#ifndef QUERN_DATA_FINGERPRINT_H
#define QUERN_DATA_FINGERPRINT_H

#include "data/shard_list.h"
#include "quern/loader.h"

void qn_shard_list_fingerprint(const qn_shard_list *list, const qn_examples *examples,
                               qn_fingerprint *out);

#endif
