/* attention.h: the attention entries of the CPU backend's table; see ops.h. */
#ifndef QUERN_CPU_ATTENTION_H
#define QUERN_CPU_ATTENTION_H

#include "quern/ops.h"

size_t qn_cpu_attention_forward_workspace(qn_backend *, const qn_attention_args *);
qn_status qn_cpu_attention_forward(qn_stream *, const qn_attention_args *);
size_t qn_cpu_attention_backward_workspace(qn_backend *, const qn_attention_args *);
qn_status qn_cpu_attention_backward(qn_stream *, const qn_attention_args *);

#endif
