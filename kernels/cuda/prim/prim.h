/* prim.h: the device primitives that kernels are written in, beside CUDA C++ itself.
 *
 * Included first by every file of kernels/cuda that holds device code. Under nvcc the
 * definitions are those of prim_cuda.h, which has the only inline PTX of the project; under
 * the host's compiler those of prim_host.h, which run on the emulation layer of tests/simt.
 * Both sides implement this page; tests/prim holds both to it.
 *
 * Of CUDA C++ itself kernels use: threadIdx, blockIdx, blockDim, gridDim; __syncthreads,
 * __syncwarp; __shfl_sync, __shfl_xor_sync, __shfl_up_sync, __shfl_down_sync, __ballot_sync;
 * atomicAdd and atomicMax; __global__, __device__, __launch_bounds__, __restrict__,
 * __grid_constant__; uint2, uint4, float2, float4, dim3. Shared memory and launches go through
 * the macros below, which the host's compiler can read too:
 *
 *   QN_SHARED(T, name, [n])   a static shared array; QN_SHARED(T, name, ) a scalar
 *   QN_LAUNCH(kernel, grid, block, shared_bytes, stream, args...)
 *   QN_ALLOW_SHARED(kernel, bytes)   lets a kernel have that much dynamic shared memory, which
 *                                    past 48 KB it must ask for; 0 or the runtime's error code
 *   QN_LAUNCH_ERROR()                0 or the error code of this thread's last launch
 *
 * Shared addresses are 32-bit offsets into the block's shared window. In every signature
 * `QN_HERE` stands for the caller's place in the source, which the emulation layer reports;
 * under nvcc it is nothing. */
#ifndef QUERN_CUDA_PRIM_H
#define QUERN_CUDA_PRIM_H

#include <stdint.h>

#ifdef __CUDACC__
#define QN_DEVICE __device__ __forceinline__
#define QN_HERE
#define QN_HERE_ONLY
#else
#include "simt/simt.h"
#define QN_DEVICE inline
#define QN_HERE , simt::Where where = simt::Where::here()
#define QN_HERE_ONLY simt::Where where = simt::Where::here()
#endif

/* The bits of a bfloat16. */
struct bf16 {
    uint16_t bits;
};

/* ---- numbers -------------------------------------------------------------- */

/* Rounded to nearest even; `low` in bits 0 to 15, as the smaller address has it. */
QN_DEVICE uint32_t pack_bf16(float low, float high);
QN_DEVICE bf16 to_bf16(float x);
QN_DEVICE float from_bf16(bf16 x);
QN_DEVICE float bf16_low(uint32_t pair);
QN_DEVICE float bf16_high(uint32_t pair);
/* 2^x to 2 ulp (ex2.approx.ftz): 0 for −inf and for results below the normal range. */
QN_DEVICE float exp2_approx(float x);
/* log2 x to about 2^−22 absolute (lg2.approx.ftz); −inf for 0. */
QN_DEVICE float log2_approx(float x);

/* ---- shared memory --------------------------------------------------------- */

/* The block's dynamic shared memory, aligned to 16 bytes and no more: a kernel that needs
 * more aligns by itself. On a GPU it follows what QN_SHARED declares, rounded up to
 * QN_SHARED_ALIGN bytes; both count for what a block may have. */
enum { QN_SHARED_ALIGN = 128 };
QN_DEVICE uint8_t *dynamic_shared();
QN_DEVICE uint32_t shared_address(const void *p QN_HERE);

/* Four 8×8 matrices of 16-bit elements; lanes 8m to 8m+7 give the addresses (16-byte aligned)
 * of the rows of matrix m. Lane l receives elements (l/4, 2(l%4)) and (l/4, 2(l%4)+1) of
 * matrix m in r[m], or of its transpose. Whole warp. */
QN_DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t address QN_HERE);
QN_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address QN_HERE);
QN_DEVICE void ldmatrix_x2(uint32_t (&r)[2], uint32_t address QN_HERE);
QN_DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], uint32_t address QN_HERE);

/* ---- matrix product of a warp (sm_80) --------------------------------------- */

/* d (16×8 fp32) += a (16×16 bf16, row-major) · b (16×8 bf16, column-major). With g = lane/4 and
 * t = lane%4: a[0] is (g, 2t..2t+1), a[1] (g+8, 2t..), a[2] (g, 2t+8..), a[3] (g+8, 2t+8..);
 * b[0] is (2t..2t+1, g), b[1] (2t+8.., g); d[0..1] is (g, 2t..2t+1), d[2..3] (g+8, 2t..). */
QN_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] QN_HERE);

/* ---- asynchronous copies (sm_80) --------------------------------------------- */

/* 16 bytes from global to shared memory, past the L1 cache; both aligned to 16. When !valid the
 * 16 bytes become zeros and src is not read. */
QN_DEVICE void cp_async_16(uint32_t dst, const void *src, bool valid QN_HERE);
/* Closes the calling thread's group of copies. */
QN_DEVICE void cp_async_commit(QN_HERE_ONLY);
/* Waits until at most N of the calling thread's groups are in flight. Other threads see the
 * data only after a barrier. */
template <int N> QN_DEVICE void cp_async_wait(QN_HERE_ONLY);

/* ---- between threads ----------------------------------------------------------- */

/* Barrier `id` (1 to 15; 0 is __syncthreads) of n_threads threads, a multiple of 32. */
QN_DEVICE void barrier_sync(int id, int n_threads QN_HERE);
/* Arrives without waiting. */
QN_DEVICE void barrier_arrive(int id, int n_threads QN_HERE);

/* *p += x in global memory, no value returned; the order of additions is not defined. */
QN_DEVICE void reduce_add(float *p, float x QN_HERE);

/* Waits until *p >= value (acquire, whole device); one thread of a block waits, and a barrier
 * hands on to the others. */
QN_DEVICE void semaphore_wait(const int32_t *p, int32_t value QN_HERE);
/* *p = value after everything that the block's threads wrote before the barrier that precedes
 * this call (release, whole device). */
QN_DEVICE void semaphore_release(int32_t *p, int32_t value QN_HERE);

#ifdef __CUDACC__
#include "prim_cuda.h"
#else
#include "prim_host.h"
#endif

#endif
