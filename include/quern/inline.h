/* inline.h: how a header defines a function that C, C++ and CUDA kernels share. */
#ifndef QUERN_INLINE_H
#define QUERN_INLINE_H

#ifdef __CUDACC__
#define QN_INLINE static __host__ __device__ __forceinline__
#else
#define QN_INLINE static inline
#endif

#endif
