/* prim_cuda.h: the primitives of prim.h in PTX (PTX ISA, chapter 9). */
#ifndef QUERN_CUDA_PRIM_CUDA_H
#define QUERN_CUDA_PRIM_CUDA_H

#define QN_SHARED(T, name, dims) __shared__ T name dims
#define QN_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define QN_ALLOW_SHARED(kernel, bytes)                                                             \
    (int)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#define QN_LAUNCH_ERROR() (int)cudaGetLastError()

/* ---- numbers -------------------------------------------------------------- */

QN_DEVICE uint32_t pack_bf16(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

QN_DEVICE bf16 to_bf16(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

QN_DEVICE float from_bf16(bf16 x) { return __uint_as_float((uint32_t)x.bits << 16); }
QN_DEVICE float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
QN_DEVICE float bf16_high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

QN_DEVICE float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

QN_DEVICE float log2_approx(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- shared memory --------------------------------------------------------- */

QN_DEVICE uint8_t *dynamic_shared() {
    extern __shared__ __align__(QN_SHARED_ALIGN) uint4 quern_dynamic_shared[];
    return (uint8_t *)quern_dynamic_shared;
}

QN_DEVICE uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

QN_DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

QN_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

QN_DEVICE void ldmatrix_x2(uint32_t (&r)[2], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
}

QN_DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
}

/* ---- matrix product of a warp ------------------------------------------------ */

QN_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* ---- asynchronous copies ------------------------------------------------------ */

QN_DEVICE void cp_async_16(uint32_t dst, const void *src, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(dst), "l"(__cvta_generic_to_global(src)), "r"(valid ? 16 : 0)
                 : "memory");
}

QN_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }

template <int N> QN_DEVICE void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}

/* ---- between threads ------------------------------------------------------------ */

QN_DEVICE void barrier_sync(int id, int n_threads) {
    asm volatile("barrier.sync.aligned %0, %1;" : : "r"(id), "r"(n_threads) : "memory");
}

QN_DEVICE void barrier_arrive(int id, int n_threads) {
    asm volatile("barrier.arrive.aligned %0, %1;" : : "r"(id), "r"(n_threads) : "memory");
}

QN_DEVICE void reduce_add(float *p, float x) {
    asm volatile("red.global.add.f32 [%0], %1;"
                 :
                 : "l"(__cvta_generic_to_global(p)), "f"(x)
                 : "memory");
}

QN_DEVICE void semaphore_wait(const int32_t *p, int32_t value) {
    int32_t now;
    do {
        asm volatile("ld.global.acquire.gpu.b32 %0, [%1];"
                     : "=r"(now)
                     : "l"(__cvta_generic_to_global(p))
                     : "memory");
    } while (now < value);
}

QN_DEVICE void semaphore_release(int32_t *p, int32_t value) {
    asm volatile("fence.acq_rel.gpu;\n\tst.global.release.gpu.b32 [%0], %1;"
                 :
                 : "l"(__cvta_generic_to_global(p)), "r"(value)
                 : "memory");
}

#endif
