/* prim_host.h: the primitives of prim.h on the host: calls into the emulation layer. */
#ifndef QUERN_CUDA_PRIM_HOST_H
#define QUERN_CUDA_PRIM_HOST_H

/* The error of a device that has less. A launch that fails throws. */
#define QN_ALLOW_SHARED(kernel, bytes) ::simt::allow_shared((const void *)(kernel), bytes)
#define QN_LAUNCH_ERROR() 0

/* ---- numbers -------------------------------------------------------------- */

QN_DEVICE bf16 to_bf16(float x) {
    uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{0x7fff};
    return bf16{(uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}

QN_DEVICE uint32_t pack_bf16(float low, float high) {
    return to_bf16(low).bits | (uint32_t)to_bf16(high).bits << 16;
}

QN_DEVICE float from_bf16(bf16 x) { return __uint_as_float((uint32_t)x.bits << 16); }
QN_DEVICE float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
QN_DEVICE float bf16_high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/* .ftz: a subnormal counts as zero, as operand and as result. */
QN_DEVICE float flush_subnormal(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }
QN_DEVICE float exp2_approx(float x) { return flush_subnormal(exp2f(flush_subnormal(x))); }
QN_DEVICE float log2_approx(float x) { return log2f(flush_subnormal(x)); }

/* ---- shared memory --------------------------------------------------------- */

QN_DEVICE uint8_t *dynamic_shared() { return (uint8_t *)simt::dynamic_shared(); }
QN_DEVICE uint32_t shared_address(const void *p, simt::Where where) {
    return simt::shared_address(p, where);
}

QN_DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t address, simt::Where where) {
    simt::ldmatrix(r, 4, false, address, where);
}
QN_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address, simt::Where where) {
    simt::ldmatrix(r, 4, true, address, where);
}
QN_DEVICE void ldmatrix_x2(uint32_t (&r)[2], uint32_t address, simt::Where where) {
    simt::ldmatrix(r, 2, false, address, where);
}
QN_DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], uint32_t address, simt::Where where) {
    simt::ldmatrix(r, 2, true, address, where);
}

QN_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                            simt::Where where) {
    simt::mma_m16n8k16(d, a, b, where);
}

/* ---- asynchronous copies ------------------------------------------------------ */

QN_DEVICE void cp_async_16(uint32_t dst, const void *src, bool valid, simt::Where where) {
    simt::cp_async_16(dst, src, valid, where);
}
QN_DEVICE void cp_async_commit(simt::Where) { simt::cp_async_commit(); }
template <int N> QN_DEVICE void cp_async_wait(simt::Where where) { simt::cp_async_wait(N, where); }

/* ---- between threads ------------------------------------------------------------ */

QN_DEVICE void barrier_sync(int id, int n_threads, simt::Where where) {
    simt::barrier_sync(id, n_threads, where);
}
QN_DEVICE void barrier_arrive(int id, int n_threads, simt::Where where) {
    simt::barrier_arrive(id, n_threads, where);
}
QN_DEVICE void reduce_add(float *p, float x, simt::Where where) { simt::atomic_add(p, x, where); }
QN_DEVICE void semaphore_wait(const int32_t *p, int32_t value, simt::Where where) {
    simt::semaphore_wait(p, value, where);
}
QN_DEVICE void semaphore_release(int32_t *p, int32_t value, simt::Where where) {
    simt::semaphore_release(p, value, where);
}

#endif
