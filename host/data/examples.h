/* examples.h: the shape of examples, in memory and in data.json. */
#ifndef QUERN_DATA_EXAMPLES_H
#define QUERN_DATA_EXAMPLES_H

#include <jansson.h>

#include "quern/examples.h"

/* A copy with `targets` of its own. */
qn_status qn_examples_copy(const qn_examples *from, qn_examples *out);
void qn_examples_free(qn_examples *examples);

/* Sets to −1 those of a sequence's length − 1 targets that do not count. */
void qn_examples_mask(const qn_examples *examples, int32_t *targets);

/* {"length", "targets"}, the second only where they are named. */
json_t *qn_examples_to_json(const qn_examples *examples);
/* "examples" of a data.json, checked; length 0 when it has none. Freed by the caller. */
qn_status qn_examples_from_json(const json_t *root, const char *path, qn_examples *out);

#endif
