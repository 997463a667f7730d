/* rope.h: is a call of rope or rope_table what ops.h says? The same for every backend, but for the
 * dtype that it stores. The values of positions are for a backend whose memory the host can read.
 */
#ifndef QUERN_CHECK_ROPE_H
#define QUERN_CHECK_ROPE_H

#include "quern/ops.h"

qn_status qn_check_rope(const qn_rope_args *, qn_dtype storage);
qn_status qn_check_rope_table(const qn_tensor *table, double theta);

#endif
