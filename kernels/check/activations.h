/* activations.h: are the arguments of SwiGLU and GELU what ops.h says, for a backend that stores
 * this dtype? */
#ifndef QUERN_CHECK_ACTIVATIONS_H
#define QUERN_CHECK_ACTIVATIONS_H

#include "quern/ops.h"

qn_status qn_check_swiglu_forward(const qn_swiglu_args *, qn_dtype storage);
qn_status qn_check_swiglu_backward(const qn_swiglu_args *, qn_dtype storage);
qn_status qn_check_gelu(const qn_tensor *out, const qn_tensor *x, qn_dtype storage);

#endif
