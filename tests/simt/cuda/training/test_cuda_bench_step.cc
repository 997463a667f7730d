// test_cuda_bench_step.cc: `quern bench step` on the emulated GPU: the kernels of each operation,
// where the idle share comes from, and what it does where it cannot trace or memory is short.
#include <jansson.h>

#include <iterator>
#include <map>
#include <sstream>

#include "cli/commands.h"
#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/backend.h"
#include "quern/train.h"
#include "simt/cuda/emulated/activity.h"
#include "simt/cuda/emulated/gpu.h"

namespace {

class CudaBenchStep : public testing::Test {
  protected:
    ~CudaBenchStep() override {
        json_decref(record);
        EXPECT_EQ(simt::gpu_memory_used(), 0u);
        EXPECT_EQ(simt::cupti_use().held, 0);
        EXPECT_EQ(simt::cupti_use().enabled, 0);
    }

    // Fills `out` and `record`.
    qn_status bench() {
        dir.write("config.json", R"({"architectures": ["Qwen3ForCausalLM"], "vocab_size": 64,
                  "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
                  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                  "tie_word_embeddings": true, "eos_token_id": 0})");
        std::istringstream line("bench --model " + dir / "config.json" +
                                " --backend cuda --batch-size 1 --seq-len 16 --grad-accum 2"
                                " --steps 1 --json " +
                                dir / "step.json");
        std::vector<std::string> words{std::istream_iterator<std::string>(line), {}};
        std::vector<char *> argv;
        for (std::string &word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        testing::internal::CaptureStdout();
        qn_status status = bench_step((int)words.size(), argv.data());
        out = testing::internal::GetCapturedStdout();
        json_decref(record);
        record = json_load_file((dir / "step.json").c_str(), 0, nullptr);
        return status;
    }

    double number(const char *name) { return json_number_value(json_object_get(record, name)); }
    std::string text(const char *name) {
        const char *value = json_string_value(json_object_get(record, name));
        return value ? value : "null";
    }
    // {operation: {kernel: launches a step}}
    std::map<std::string, std::map<std::string, double>> kernels() {
        std::map<std::string, std::map<std::string, double>> found;
        size_t i, j;
        json_t *operation, *kernel;
        json_array_foreach(json_object_get(record, "operations"), i, operation) {
            auto &of = found[json_string_value(json_object_get(operation, "op"))];
            double seconds = 0;
            json_array_foreach(json_object_get(operation, "kernels"), j, kernel) {
                of[json_string_value(json_object_get(kernel, "kernel"))] =
                    json_number_value(json_object_get(kernel, "launches"));
                seconds += json_number_value(json_object_get(kernel, "seconds"));
            }
            // Between the events of an operation lie its kernels.
            EXPECT_LE(seconds, json_number_value(json_object_get(operation, "seconds")) + 1e-6);
        }
        return found;
    }

    TempDir dir;
    simt::ScopedGpu restored;
    simt::Gpu &gpu = simt::gpu();
    std::string out;
    json_t *record = nullptr;
};

#define EXPECT_SAYS(part) EXPECT_NE(out.find(part), std::string::npos) << out

TEST_F(CudaBenchStep, KernelsOfOperationsAndTheIdleShareOfRecordedSteps) {
    const int64_t graphs = simt::graph_launches();
    ASSERT_OK(bench());
    auto found = kernels();
    // Two micro-steps of one layer, a step.
    EXPECT_EQ(found["attention"]["fused_sm80_forward"], 2);
    EXPECT_EQ(found["attention backward"]["fused_sm80_backward"], 2);
    EXPECT_GT(found["copy"]["memcpy"], 0);
    EXPECT_GE(found["gemm"]["emulated_gemm"], 2 * 12);
    for (const auto &[op, kernels] : found) EXPECT_FALSE(kernels.empty()) << op;
    EXPECT_EQ(json_array_size(json_object_get(record, "other_kernels")), 0u);
    EXPECT_SAYS("\n      fused_sm80_forward ");
    // All micro-steps but the first, of 1 + 1 steps that are timed and of 2 + 3 under the trace.
    EXPECT_EQ(simt::graph_launches() - graphs, (2 * 2 - 1) + (2 * 5 - 1));
    EXPECT_EQ(text("idle_source"), "traced");
    EXPECT_EQ(text("trace_note"), "null");
    EXPECT_GT(number("idle"), 0);
    EXPECT_LT(number("idle"), 1);
    EXPECT_GT(number("traced_step_seconds"), 0);
    EXPECT_SAYS("of a step (traced: a whole step takes");
    EXPECT_EQ(out.find("no trace"), std::string::npos) << out;
}

TEST_F(CudaBenchStep, GoesOnWithoutCupti) {
    gpu.cupti_folder = nullptr;
    ASSERT_OK(bench());
    for (const auto &[op, kernels] : kernels()) EXPECT_TRUE(kernels.empty()) << op;
    EXPECT_EQ(text("idle_source"), "estimated");
    EXPECT_TRUE(json_is_number(json_object_get(record, "idle")));
    EXPECT_TRUE(json_is_null(json_object_get(record, "traced_step_seconds")));
    EXPECT_NE(text("trace_note").find("libcupti.so.13"), std::string::npos);
    EXPECT_SAYS("(estimated from events)\n");
    EXPECT_SAYS("no trace of kernels: libcupti.so.13 is not found");
}

TEST_F(CudaBenchStep, GoesOnWhereATraceLosesRecords) {
    gpu.cupti_most_records = 100;
    ASSERT_OK(bench());
    EXPECT_EQ(text("idle_source"), "estimated");
    EXPECT_SAYS("records of what ran on the GPU are lost");
    for (const auto &[op, kernels] : kernels()) EXPECT_TRUE(kernels.empty()) << op;
}

// The ceiling's product beside what is allocated: rows are halved until it fits.
TEST(CudaCeiling, FitsIntoTheMemoryThatIsLeft) {
    simt::ScopedGpu restored;
    qn_backend *backend;
    ASSERT_OK(qn_cuda_open(&backend));
    const int64_t n = 96, k = 48;
    const auto bytes = [&](int64_t m) {
        qn_gemm_args args = {};
        args.a = qn_tensor_2d(nullptr, QN_BF16, m, k);
        args.b = qn_tensor_2d(nullptr, QN_BF16, k, n);
        args.c = qn_tensor_2d(nullptr, QN_BF16, m, n);
        args.compute = QN_BF16;
        return (size_t)(m * k + k * n + m * n) * 2 + backend->ops->gemm_workspace(backend, &args);
    };
    double speed;
    for (int64_t rows : {4096, 1024, 256, 64}) {
        simt::gpu().memory = simt::gpu_memory_used() + bytes(rows) + 4096;
        ASSERT_LT(bytes(rows) + 4096, bytes(2 * rows));
        int64_t m = 4096;
        ASSERT_OK(qn_fit_gemm(backend, QN_PRECISION_AUTO, &m, n, k));
        EXPECT_EQ(m, rows);
        EXPECT_OK(qn_measure_gemm(backend, QN_PRECISION_AUTO, m, n, k, 0, &speed));
    }
    simt::gpu().memory = simt::gpu_memory_used() + bytes(64) - 4096;
    int64_t m = 4096;
    EXPECT_ERROR(qn_fit_gemm(backend, QN_PRECISION_AUTO, &m, n, k), QN_CODE_MEMORY,
                 "product of 64×96×48", "measure its speed", "smaller batch");
    backend->ops->close(backend);
}

} // namespace
