/* selftest_json.h: the verdicts of the self-test as a file. */
#ifndef QUERN_CLI_SELFTEST_JSON_H
#define QUERN_CLI_SELFTEST_JSON_H

#include "quern/planted.h"

/* {"quern", "seed", "passed", "failed", "checks": [{"experiment", "what", "measured", "least",
 * "most", "passed"}]}, with null for a number that is not finite. */
qn_status qn_selftest_write_json(const char *path, uint64_t seed, const qn_planted_result *result);

#endif
