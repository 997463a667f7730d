/* environment.h: where a run computes, as run.json's "environment" has it. */
#ifndef QUERN_ENVIRONMENT_H
#define QUERN_ENVIRONMENT_H

#include <jansson.h>

#include "quern/options.h"

/* The environment as JSON, with the "changes" of the run.json at `path`, to which one is added
 * where a run that goes on does so elsewhere, and one where its weights are rounded in another way;
 * *change is then their text, malloc'ed, else NULL. */
qn_status qn_environment_to_json(const qn_environment *now, const char *weight_rounding,
                                 const char *path, json_t **out, char **change);

#endif
