/* kernel_name.h: kernels as a table names them. */
#ifndef QUERN_CUDA_KERNEL_NAME_H
#define QUERN_CUDA_KERNEL_NAME_H

/* The name of the function: `softmax` of "void quern::softmax<64>(float const*)", given mangled.
 * What is not mangled stays as it is. Freed by the caller; NULL without memory. */
char *qn_kernel_name(const char *mangled);

#endif
