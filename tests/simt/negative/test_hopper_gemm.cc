// A warp-specialised product by TMA and wgmma is right and free of races under many schedules,
// and none of its mutants survives.
#include "simt/negative/expect.h"
#include "simt/negative/hopper_gemm.h"

using namespace negative;

namespace {

constexpr int kTried = 4; // schedules a mutant, one for each mode of asynchronous work
constexpr int kTiles = 2, kSteps = 3, kN = kTiles * kGemmTileN, kK = kSteps * kGemmTileK;

void encode(qn_tensor_map *map, CUtensorMapDataType type, void *base, uint64_t columns,
            uint64_t rows, uint32_t box_columns, uint32_t box_rows, CUtensorMapSwizzle swizzle) {
    uint64_t dims[] = {columns, rows};
    uint64_t strides[] = {columns * (type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2)};
    uint32_t box[] = {box_columns, box_rows}, steps[] = {1, 1};
    ASSERT_EQ(cuTensorMapEncodeTiled(
                  map, type, 2, base, dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
              CUDA_SUCCESS);
}

int a_at(int i, int k) { return (i * 7 + k * 3) % 11 - 5; }
int b_at(int k, int j) { return (k * 5 + j * 13) % 9 - 4; }

bool run_gemm(Omit omit) {
    Device<bf16> a(kGemmM * kK), b(kK * kN);
    Device<float> c(kGemmM * kN, 0);
    for (int i = 0; i < kGemmM * kK; i++) a[i] = to_bf16((float)a_at(i / kK, i % kK));
    for (int i = 0; i < kK * kN; i++) b[i] = to_bf16((float)b_at(i / kN, i % kN));
    GemmMaps maps;
    encode(&maps.a, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, a.get(), kK, kGemmM, kGemmTileK, kGemmM,
           CU_TENSOR_MAP_SWIZZLE_128B);
    encode(&maps.b, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, b.get(), kN, kK, kGemmTileN, kGemmTileK,
           CU_TENSOR_MAP_SWIZZLE_64B);
    encode(&maps.c, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, c.get(), kN, kGemmM, kGemmTileN, 64,
           CU_TENSOR_MAP_SWIZZLE_NONE);
    EXPECT_EQ(QN_ALLOW_SHARED(hopper_gemm, kGemmShared), 0);
    QN_LAUNCH(hopper_gemm, 1, 384, kGemmShared, 0, maps, kTiles, kSteps, omit);
    for (int i = 0; i < kGemmM; i++)
        for (int j = 0; j < kN; j++) {
            int sum = 0;
            for (int k = 0; k < kK; k++) sum += a_at(i, k) * b_at(k, j);
            if (c[i * kN + j] != (float)sum) return false;
        }
    return true;
}

TEST(HopperGemm, IsRightUnderManySchedules) {
    simt::for_each_schedule(50, [] { ASSERT_TRUE(run_gemm(Omit::kNothing)); });
}

struct Mutant {
    const char *name;
    Omit omit;
    bool race_build_only; // others need luck
};

const Mutant kMutants[] = {
    {"fence of the mbarriers", Omit::kInitFence, false},
    {"barrier after the mbarriers' initialisation", Omit::kInitBarrier, true},
    {"registers handed on", Omit::kRegistersLower, false},
    {"producer's wait", Omit::kEmptyWait, false},
    {"producer's arrival", Omit::kExpect, false},
    {"consumers' wait", Omit::kFullWait, false},
    {"wgmma_fence", Omit::kWgmmaFence, false},
    {"wgmma_commit", Omit::kWgmmaCommit, false},
    {"wgmma_wait before a stage is handed back", Omit::kWgmmaWait, false},
    {"wgmma_wait at the end", Omit::kLastWgmmaWait, false},
    {"consumers' arrival", Omit::kEmptyArrival, false},
    {"stage handed back too early", Omit::kStageBehind, false},
    {"wait for the store before", Omit::kStoreRead, true},
    {"barrier after that wait", Omit::kStoreReadBarrier, true},
    {"fence_proxy_async", Omit::kProxyFence, true},
    {"barrier before the store", Omit::kStoreBarrier, false},
    {"bulk_commit", Omit::kStoreCommit, false},
    {"wait for the last store", Omit::kLastStoreRead, false},
};

TEST(HopperGemm, NoMutantSurvives) {
    for (const Mutant &mutant : kMutants) {
        SCOPED_TRACE(mutant.name);
        printf("without %s:\n", mutant.name);
        Outcome outcome = try_schedules([&] { return run_gemm(mutant.omit); }, kTried);
        bool visible = simt::kRaceBuild || !mutant.race_build_only;
        EXPECT_GE(outcome.reported + outcome.wrong, visible ? 1 : 0);
        EXPECT_GE(outcome.reported, simt::kRaceBuild ? kTried : 0) << outcome.report;
    }
}

} // namespace
