/* fingerprint_json.h: the fingerprint of data as state.json and run.json have it. */
#ifndef QUERN_FINGERPRINT_JSON_H
#define QUERN_FINGERPRINT_JSON_H

#include <jansson.h>

#include "quern/loader.h"

/* {"shards", "bytes", "tokens", "xxh3"}; NULL when out of memory. */
json_t *qn_fingerprint_to_json(const qn_fingerprint *data);

/* Reads the member "data" of an object in the file `path`; all zero when it has none. */
qn_status qn_fingerprint_from_json(const json_t *object, const char *path, qn_fingerprint *out);

#endif
