/* embedding.h: is a call of the embedding what ops.h says? The same for every backend, but for the
 * dtype that it stores; the values of the indices are left to those that can read them. */
#ifndef QUERN_CHECK_EMBEDDING_H
#define QUERN_CHECK_EMBEDDING_H

#include "quern/ops.h"

qn_status qn_check_embedding_forward(const qn_embedding_args *, qn_dtype storage);

/* All but the workspace. */
qn_status qn_check_embedding_backward(const qn_embedding_args *, qn_dtype storage);

#endif
