/* hopper_cuda.h: the primitives of hopper.h in PTX. */
#ifndef QUERN_CUDA_HOPPER_CUDA_H
#define QUERN_CUDA_HOPPER_CUDA_H

/* ---- mbarrier ---------------------------------------------------------------- */

QN_DEVICE void mbarrier_init(uint32_t mbarrier, uint32_t count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                 :
                 : "r"(mbarrier), "r"(count)
                 : "memory");
}

QN_DEVICE void mbarrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
}

QN_DEVICE void mbarrier_arrive(uint32_t mbarrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(mbarrier) : "memory");
}

QN_DEVICE void mbarrier_arrive_expect(uint32_t mbarrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :
                 : "r"(mbarrier), "r"(bytes)
                 : "memory");
}

QN_DEVICE void mbarrier_wait(uint32_t mbarrier, uint32_t parity) {
    asm volatile("{\n\t"
                 ".reg .pred done;\n"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t"
                 "@!done bra again;\n\t"
                 "}"
                 :
                 : "r"(mbarrier), "r"(parity)
                 : "memory");
}

QN_DEVICE void fence_proxy_async() {
    asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
}

/* ---- bulk copies -------------------------------------------------------------- */

#define QN_TMA_LOAD(rank, coordinates, ...)                                                        \
    template <>                                                                                    \
    QN_DEVICE void tma_load<rank>(uint32_t dst, const qn_tensor_map *map, uint32_t mbarrier,       \
                                  const int32_t(&at)[rank]) {                                      \
        asm volatile(                                                                              \
            "cp.async.bulk.tensor." #rank                                                          \
            "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {" coordinates  \
            "}], [%2];"                                                                            \
            :                                                                                      \
            : "r"(dst), "l"(map), "r"(mbarrier), __VA_ARGS__                                       \
            : "memory");                                                                           \
    }
#define QN_TMA_STORE(name, instruction, rank, coordinates, ...)                                    \
    template <>                                                                                    \
    QN_DEVICE void name<rank>(const qn_tensor_map *map, uint32_t src, const int32_t(&at)[rank]) {  \
        asm volatile(instruction ".tensor." #rank "d.global.shared::cta" QN_TMA_OPERATION_##name   \
                     ".tile.bulk_group [%0, {" coordinates "}], [%1];"                             \
                     :                                                                             \
                     : "l"(map), "r"(src), __VA_ARGS__                                             \
                     : "memory");                                                                  \
    }
#define QN_TMA_OPERATION_tma_store ""
#define QN_TMA_OPERATION_tma_reduce_add ".add"

QN_TMA_LOAD(1, "%3", "r"(at[0]))
QN_TMA_STORE(tma_store, "cp.async.bulk", 1, "%2", "r"(at[0]))
QN_TMA_STORE(tma_reduce_add, "cp.reduce.async.bulk", 1, "%2", "r"(at[0]))
QN_TMA_LOAD(2, "%3, %4", "r"(at[0]), "r"(at[1]))
QN_TMA_STORE(tma_store, "cp.async.bulk", 2, "%2, %3", "r"(at[0]), "r"(at[1]))
QN_TMA_STORE(tma_reduce_add, "cp.reduce.async.bulk", 2, "%2, %3", "r"(at[0]), "r"(at[1]))
QN_TMA_LOAD(3, "%3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]))
QN_TMA_STORE(tma_store, "cp.async.bulk", 3, "%2, %3, %4", "r"(at[0]), "r"(at[1]), "r"(at[2]))
QN_TMA_STORE(tma_reduce_add, "cp.reduce.async.bulk", 3, "%2, %3, %4", "r"(at[0]), "r"(at[1]),
             "r"(at[2]))
QN_TMA_LOAD(4, "%3, %4, %5, %6", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]))
QN_TMA_STORE(tma_store, "cp.async.bulk", 4, "%2, %3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]),
             "r"(at[3]))
QN_TMA_STORE(tma_reduce_add, "cp.reduce.async.bulk", 4, "%2, %3, %4, %5", "r"(at[0]), "r"(at[1]),
             "r"(at[2]), "r"(at[3]))
QN_TMA_LOAD(5, "%3, %4, %5, %6, %7", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]))
QN_TMA_STORE(tma_store, "cp.async.bulk", 5, "%2, %3, %4, %5, %6", "r"(at[0]), "r"(at[1]),
             "r"(at[2]), "r"(at[3]), "r"(at[4]))
QN_TMA_STORE(tma_reduce_add, "cp.reduce.async.bulk", 5, "%2, %3, %4, %5, %6", "r"(at[0]),
             "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]))
#undef QN_TMA_LOAD
#undef QN_TMA_STORE
#undef QN_TMA_OPERATION_tma_store
#undef QN_TMA_OPERATION_tma_reduce_add

QN_DEVICE void tma_prefetch_map(const qn_tensor_map *map) {
    asm volatile("prefetch.tensormap [%0];" : : "l"(map) : "memory");
}

QN_DEVICE void bulk_load(uint32_t dst, const void *src, uint32_t bytes, uint32_t mbarrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
        :
        : "r"(dst), "l"(__cvta_generic_to_global(src)), "r"(bytes), "r"(mbarrier)
        : "memory");
}

QN_DEVICE void bulk_store(void *dst, uint32_t src, uint32_t bytes) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;"
                 :
                 : "l"(__cvta_generic_to_global(dst)), "r"(src), "r"(bytes)
                 : "memory");
}

QN_DEVICE void bulk_reduce_add_f32(float *dst, uint32_t src, uint32_t bytes) {
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;"
                 :
                 : "l"(__cvta_generic_to_global(dst)), "r"(src), "r"(bytes)
                 : "memory");
}

QN_DEVICE void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" : : : "memory"); }

template <int N> QN_DEVICE void bulk_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" : : "n"(N) : "memory");
}

template <int N> QN_DEVICE void bulk_wait() {
    asm volatile("cp.async.bulk.wait_group %0;" : : "n"(N) : "memory");
}

/* ---- matrix product of a warpgroup ---------------------------------------------- */

QN_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
QN_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }

template <int N> QN_DEVICE void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(N) : "memory");
}

template <int N> QN_DEVICE void wgmma_pin(float (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i]) : : "memory");
}

/* Lists of 4n registers: their names in the instruction, and as operands. */
// clang-format off
#define QN_NAMES_1 "%0, %1, %2, %3"
#define QN_NAMES_2 QN_NAMES_1 ", " "%4, %5, %6, %7"
#define QN_NAMES_3 QN_NAMES_2 ", " "%8, %9, %10, %11"
#define QN_NAMES_4 QN_NAMES_3 ", " "%12, %13, %14, %15"
#define QN_NAMES_5 QN_NAMES_4 ", " "%16, %17, %18, %19"
#define QN_NAMES_6 QN_NAMES_5 ", " "%20, %21, %22, %23"
#define QN_NAMES_7 QN_NAMES_6 ", " "%24, %25, %26, %27"
#define QN_NAMES_8 QN_NAMES_7 ", " "%28, %29, %30, %31"
#define QN_NAMES_9 QN_NAMES_8 ", " "%32, %33, %34, %35"
#define QN_NAMES_10 QN_NAMES_9 ", " "%36, %37, %38, %39"
#define QN_NAMES_11 QN_NAMES_10 ", " "%40, %41, %42, %43"
#define QN_NAMES_12 QN_NAMES_11 ", " "%44, %45, %46, %47"
#define QN_NAMES_13 QN_NAMES_12 ", " "%48, %49, %50, %51"
#define QN_NAMES_14 QN_NAMES_13 ", " "%52, %53, %54, %55"
#define QN_NAMES_15 QN_NAMES_14 ", " "%56, %57, %58, %59"
#define QN_NAMES_16 QN_NAMES_15 ", " "%60, %61, %62, %63"
#define QN_NAMES_17 QN_NAMES_16 ", " "%64, %65, %66, %67"
#define QN_NAMES_18 QN_NAMES_17 ", " "%68, %69, %70, %71"
#define QN_NAMES_19 QN_NAMES_18 ", " "%72, %73, %74, %75"
#define QN_NAMES_20 QN_NAMES_19 ", " "%76, %77, %78, %79"
#define QN_NAMES_21 QN_NAMES_20 ", " "%80, %81, %82, %83"
#define QN_NAMES_22 QN_NAMES_21 ", " "%84, %85, %86, %87"
#define QN_NAMES_23 QN_NAMES_22 ", " "%88, %89, %90, %91"
#define QN_NAMES_24 QN_NAMES_23 ", " "%92, %93, %94, %95"
#define QN_NAMES_25 QN_NAMES_24 ", " "%96, %97, %98, %99"
#define QN_NAMES_26 QN_NAMES_25 ", " "%100, %101, %102, %103"
#define QN_NAMES_27 QN_NAMES_26 ", " "%104, %105, %106, %107"
#define QN_NAMES_28 QN_NAMES_27 ", " "%108, %109, %110, %111"
#define QN_NAMES_29 QN_NAMES_28 ", " "%112, %113, %114, %115"
#define QN_NAMES_30 QN_NAMES_29 ", " "%116, %117, %118, %119"
#define QN_NAMES_31 QN_NAMES_30 ", " "%120, %121, %122, %123"
#define QN_NAMES_32 QN_NAMES_31 ", " "%124, %125, %126, %127"
#define QN_REGISTERS_1 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define QN_REGISTERS_2 QN_REGISTERS_1, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define QN_REGISTERS_3 QN_REGISTERS_2, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define QN_REGISTERS_4 QN_REGISTERS_3, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define QN_REGISTERS_5 QN_REGISTERS_4, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define QN_REGISTERS_6 QN_REGISTERS_5, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define QN_REGISTERS_7 QN_REGISTERS_6, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define QN_REGISTERS_8 QN_REGISTERS_7, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define QN_REGISTERS_9 QN_REGISTERS_8, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define QN_REGISTERS_10 QN_REGISTERS_9, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define QN_REGISTERS_11 QN_REGISTERS_10, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define QN_REGISTERS_12 QN_REGISTERS_11, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define QN_REGISTERS_13 QN_REGISTERS_12, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define QN_REGISTERS_14 QN_REGISTERS_13, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define QN_REGISTERS_15 QN_REGISTERS_14, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define QN_REGISTERS_16 QN_REGISTERS_15, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define QN_REGISTERS_17 QN_REGISTERS_16, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define QN_REGISTERS_18 QN_REGISTERS_17, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define QN_REGISTERS_19 QN_REGISTERS_18, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define QN_REGISTERS_20 QN_REGISTERS_19, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define QN_REGISTERS_21 QN_REGISTERS_20, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define QN_REGISTERS_22 QN_REGISTERS_21, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define QN_REGISTERS_23 QN_REGISTERS_22, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define QN_REGISTERS_24 QN_REGISTERS_23, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define QN_REGISTERS_25 QN_REGISTERS_24, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define QN_REGISTERS_26 QN_REGISTERS_25, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define QN_REGISTERS_27 QN_REGISTERS_26, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define QN_REGISTERS_28 QN_REGISTERS_27, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define QN_REGISTERS_29 QN_REGISTERS_28, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define QN_REGISTERS_30 QN_REGISTERS_29, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define QN_REGISTERS_31 QN_REGISTERS_30, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define QN_REGISTERS_32 QN_REGISTERS_31, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])

/* The shape 64×n×16: d has 4m registers; the operands after them are numbered from 4m on. */
#define QN_WGMMA(n, m, o0, o1, o2, o3, o4, o5, o6)                                              \
    template <int TRANS_A, int TRANS_B>                                                         \
    QN_DEVICE void wgmma_shared(float (&d)[n / 2], uint64_t a, uint64_t b, int accumulate) {    \
        asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" #o2 ", 0;\n\t"                   \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" QN_NAMES_##m  \
                     "}, %" #o0 ", %" #o1 ", p, 1, 1, %" #o3 ", %" #o4 ";\n\t}"                 \
                     : QN_REGISTERS_##m                                                         \
                     : "l"(a), "l"(b), "r"(accumulate), "n"(TRANS_A), "n"(TRANS_B));            \
    }                                                                                           \
    template <int TRANS_B>                                                                      \
    QN_DEVICE void wgmma_registers(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b,       \
                                   int accumulate) {                                            \
        asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" #o5 ", 0;\n\t"                   \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" QN_NAMES_##m  \
                     "}, {%" #o0 ", %" #o1 ", %" #o2 ", %" #o3 "}, %" #o4 ", p, 1, 1, %" #o6    \
                     ";\n\t}"                                                                   \
                     : QN_REGISTERS_##m                                                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate),     \
                       "n"(TRANS_B));                                                           \
    }

QN_WGMMA(8, 1, 4, 5, 6, 7, 8, 9, 10)
QN_WGMMA(16, 2, 8, 9, 10, 11, 12, 13, 14)
QN_WGMMA(24, 3, 12, 13, 14, 15, 16, 17, 18)
QN_WGMMA(32, 4, 16, 17, 18, 19, 20, 21, 22)
QN_WGMMA(40, 5, 20, 21, 22, 23, 24, 25, 26)
QN_WGMMA(48, 6, 24, 25, 26, 27, 28, 29, 30)
QN_WGMMA(56, 7, 28, 29, 30, 31, 32, 33, 34)
QN_WGMMA(64, 8, 32, 33, 34, 35, 36, 37, 38)
QN_WGMMA(72, 9, 36, 37, 38, 39, 40, 41, 42)
QN_WGMMA(80, 10, 40, 41, 42, 43, 44, 45, 46)
QN_WGMMA(88, 11, 44, 45, 46, 47, 48, 49, 50)
QN_WGMMA(96, 12, 48, 49, 50, 51, 52, 53, 54)
QN_WGMMA(104, 13, 52, 53, 54, 55, 56, 57, 58)
QN_WGMMA(112, 14, 56, 57, 58, 59, 60, 61, 62)
QN_WGMMA(120, 15, 60, 61, 62, 63, 64, 65, 66)
QN_WGMMA(128, 16, 64, 65, 66, 67, 68, 69, 70)
QN_WGMMA(136, 17, 68, 69, 70, 71, 72, 73, 74)
QN_WGMMA(144, 18, 72, 73, 74, 75, 76, 77, 78)
QN_WGMMA(152, 19, 76, 77, 78, 79, 80, 81, 82)
QN_WGMMA(160, 20, 80, 81, 82, 83, 84, 85, 86)
QN_WGMMA(168, 21, 84, 85, 86, 87, 88, 89, 90)
QN_WGMMA(176, 22, 88, 89, 90, 91, 92, 93, 94)
QN_WGMMA(184, 23, 92, 93, 94, 95, 96, 97, 98)
QN_WGMMA(192, 24, 96, 97, 98, 99, 100, 101, 102)
QN_WGMMA(200, 25, 100, 101, 102, 103, 104, 105, 106)
QN_WGMMA(208, 26, 104, 105, 106, 107, 108, 109, 110)
QN_WGMMA(216, 27, 108, 109, 110, 111, 112, 113, 114)
QN_WGMMA(224, 28, 112, 113, 114, 115, 116, 117, 118)
QN_WGMMA(232, 29, 116, 117, 118, 119, 120, 121, 122)
QN_WGMMA(240, 30, 120, 121, 122, 123, 124, 125, 126)
QN_WGMMA(248, 31, 124, 125, 126, 127, 128, 129, 130)
QN_WGMMA(256, 32, 128, 129, 130, 131, 132, 133, 134)
#undef QN_WGMMA
#undef QN_NAMES_1
#undef QN_REGISTERS_1
#undef QN_NAMES_2
#undef QN_REGISTERS_2
#undef QN_NAMES_3
#undef QN_REGISTERS_3
#undef QN_NAMES_4
#undef QN_REGISTERS_4
#undef QN_NAMES_5
#undef QN_REGISTERS_5
#undef QN_NAMES_6
#undef QN_REGISTERS_6
#undef QN_NAMES_7
#undef QN_REGISTERS_7
#undef QN_NAMES_8
#undef QN_REGISTERS_8
#undef QN_NAMES_9
#undef QN_REGISTERS_9
#undef QN_NAMES_10
#undef QN_REGISTERS_10
#undef QN_NAMES_11
#undef QN_REGISTERS_11
#undef QN_NAMES_12
#undef QN_REGISTERS_12
#undef QN_NAMES_13
#undef QN_REGISTERS_13
#undef QN_NAMES_14
#undef QN_REGISTERS_14
#undef QN_NAMES_15
#undef QN_REGISTERS_15
#undef QN_NAMES_16
#undef QN_REGISTERS_16
#undef QN_NAMES_17
#undef QN_REGISTERS_17
#undef QN_NAMES_18
#undef QN_REGISTERS_18
#undef QN_NAMES_19
#undef QN_REGISTERS_19
#undef QN_NAMES_20
#undef QN_REGISTERS_20
#undef QN_NAMES_21
#undef QN_REGISTERS_21
#undef QN_NAMES_22
#undef QN_REGISTERS_22
#undef QN_NAMES_23
#undef QN_REGISTERS_23
#undef QN_NAMES_24
#undef QN_REGISTERS_24
#undef QN_NAMES_25
#undef QN_REGISTERS_25
#undef QN_NAMES_26
#undef QN_REGISTERS_26
#undef QN_NAMES_27
#undef QN_REGISTERS_27
#undef QN_NAMES_28
#undef QN_REGISTERS_28
#undef QN_NAMES_29
#undef QN_REGISTERS_29
#undef QN_NAMES_30
#undef QN_REGISTERS_30
#undef QN_NAMES_31
#undef QN_REGISTERS_31
#undef QN_NAMES_32
#undef QN_REGISTERS_32
// clang-format on

template <int N, int TRANS_A, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
    wgmma_shared<TRANS_A, TRANS_B>(d, a, b, accumulate);
}

template <int N, int TRANS_B>
QN_DEVICE void wgmma(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
    wgmma_registers<TRANS_B>(d, a, b, accumulate);
}

/* ---- warps of a kernel that specialises them ---------------------------------------- */

template <int N> QN_DEVICE void registers_raise() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(N));
}

template <int N> QN_DEVICE void registers_lower() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(N));
}

QN_DEVICE bool elect_one() {
    uint32_t elected;
    asm volatile("{\n\t.reg .pred p;\n\telect.sync _|p, 0xffffffff;\n\tselp.b32 %0, 1, 0, p;\n\t}"
                 : "=r"(elected));
    return elected != 0;
}

#endif
