/* hopper_host.h: the primitives of hopper.h on the host: calls into the emulation layer. */
#ifndef QUERN_CUDA_HOPPER_HOST_H
#define QUERN_CUDA_HOPPER_HOST_H

/* ---- mbarrier ---------------------------------------------------------------- */

QN_DEVICE void mbarrier_init(uint32_t mbarrier, uint32_t count, simt::Where where) {
    simt::mbarrier_init(mbarrier, count, where);
}
QN_DEVICE void mbarrier_init_fence(simt::Where) { simt::mbarrier_init_fence(); }
QN_DEVICE void mbarrier_arrive(uint32_t mbarrier, simt::Where where) {
    simt::mbarrier_arrive(mbarrier, 0, where);
}
QN_DEVICE void mbarrier_arrive_expect(uint32_t mbarrier, uint32_t bytes, simt::Where where) {
    simt::mbarrier_arrive(mbarrier, bytes, where);
}
QN_DEVICE void mbarrier_wait(uint32_t mbarrier, uint32_t parity, simt::Where where) {
    simt::mbarrier_wait(mbarrier, parity, where);
}

QN_DEVICE void fence_proxy_async(simt::Where) { simt::fence_proxy_async(); }

/* ---- bulk copies -------------------------------------------------------------- */

template <int RANK>
QN_DEVICE void tma_load(uint32_t dst, const qn_tensor_map *map, uint32_t mbarrier,
                        const int32_t (&at)[RANK], simt::Where where) {
    simt::tma_load(dst, map, mbarrier, at, RANK, where);
}
template <int RANK>
QN_DEVICE void tma_store(const qn_tensor_map *map, uint32_t src, const int32_t (&at)[RANK],
                         simt::Where where) {
    simt::tma_store(map, src, at, RANK, where);
}
template <int RANK>
QN_DEVICE void tma_reduce_add(const qn_tensor_map *map, uint32_t src, const int32_t (&at)[RANK],
                              simt::Where where) {
    simt::tma_reduce_add(map, src, at, RANK, where);
}
QN_DEVICE void tma_prefetch_map(const qn_tensor_map *) {}

QN_DEVICE void bulk_load(uint32_t dst, const void *src, uint32_t bytes, uint32_t mbarrier,
                         simt::Where where) {
    simt::bulk_load(dst, src, bytes, mbarrier, where);
}
QN_DEVICE void bulk_store(void *dst, uint32_t src, uint32_t bytes, simt::Where where) {
    simt::bulk_store(dst, src, bytes, where);
}
QN_DEVICE void bulk_reduce_add_f32(float *dst, uint32_t src, uint32_t bytes, simt::Where where) {
    simt::bulk_reduce_add_f32(dst, src, bytes, where);
}

QN_DEVICE void bulk_commit(simt::Where) { simt::bulk_commit(); }
template <int N> QN_DEVICE void bulk_wait_read(simt::Where where) {
    simt::bulk_wait_read(N, where);
}
template <int N> QN_DEVICE void bulk_wait(simt::Where where) { simt::bulk_wait(N, where); }

/* ---- matrix product of a warpgroup ---------------------------------------------- */

QN_DEVICE void wgmma_fence(simt::Where where) { simt::wgmma_fence(where); }
QN_DEVICE void wgmma_commit(simt::Where where) { simt::wgmma_commit(where); }
template <int N> QN_DEVICE void wgmma_wait(simt::Where where) { simt::wgmma_wait(N, where); }
template <int N> QN_DEVICE void wgmma_pin(float (&)[N]) {}

template <int N, int TRANS_A, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate,
                     simt::Where where) {
    static_assert(N % 8 == 0 && N >= 8 && N <= 256);
    simt::wgmma({N, TRANS_A != 0, TRANS_B != 0}, d, nullptr, a, b, accumulate, where);
}
template <int N, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate,
                     simt::Where where) {
    static_assert(N % 8 == 0 && N >= 8 && N <= 256);
    simt::wgmma({N, false, TRANS_B != 0}, d, a, 0, b, accumulate, where);
}

/* ---- warps of a kernel that specialises them ---------------------------------------- */

template <int N> QN_DEVICE void registers_raise(simt::Where where) {
    simt::registers_raise(N, where);
}
template <int N> QN_DEVICE void registers_lower(simt::Where where) {
    simt::registers_lower(N, where);
}
QN_DEVICE bool elect_one(simt::Where where) { return simt::elect_one(where); }

#endif
