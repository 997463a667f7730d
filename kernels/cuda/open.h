/* open.h: opening and closing the CUDA device. */
#ifndef QUERN_CUDA_OPEN_H
#define QUERN_CUDA_OPEN_H

#include "quern/backend.h"

/* The first GPU that CUDA_VISIBLE_DEVICES leaves, behind this table. */
qn_status qn_cuda_open_device(const qn_ops *ops, qn_backend **out);
void qn_cuda_close_device(qn_backend *);

#endif
