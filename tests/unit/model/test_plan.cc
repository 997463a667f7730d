// test_plan.cc: the memory of a model, laid out but not allocated.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "harness/small_model.h"

namespace {

class Plan : public testing::Test {
  protected:
    void SetUp() override { ASSERT_OK(qn_cpu_open(2, &backend)); }
    void TearDown() override { backend->ops->close(backend); }

    qn_status make(const qn_config &config, const qn_plan_options &options) {
        qn_params params;
        QN_TRY(qn_params_make(&config, &params));
        qn_status status = qn_plan_make(backend, &config, &params, &options, &plan);
        qn_params_free(&params);
        return status;
    }
    qn_config preset(const char *name) {
        qn_config config = {};
        EXPECT_OK(qn_config_preset(name, 0, &config));
        return config;
    }
    size_t total(const qn_config &config, const qn_plan_options &options) {
        EXPECT_OK(make(config, options));
        return plan.total_bytes;
    }

    qn_backend *backend = nullptr;
    qn_plan plan = {};
};

size_t bytes_of(const qn_buffer &b) { return b.stride * (size_t)b.copies; }

std::vector<qn_plan_options> all_options() {
    std::vector<qn_plan_options> out;
    for (qn_plan_mode mode : {QN_PLAN_TRAIN, QN_PLAN_EVAL, QN_PLAN_GENERATE})
        for (qn_recompute recompute : {QN_RECOMPUTE_NONE, QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK})
            for (qn_attn_impl attention : {QN_ATTN_NAIVE, QN_ATTN_FUSED})
                for (bool documents : {false, true}) {
                    qn_plan_options o = small_options(3, 17, mode);
                    o.recompute = recompute;
                    o.attention = attention;
                    o.documents = documents && mode != QN_PLAN_GENERATE;
                    o.grad_accum = 5;
                    out.push_back(o);
                }
    return out;
}

// ---- the layout ---------------------------------------------------------------------------

TEST_F(Plan, BuffersTileTheArena) {
    for (const char *name : {"LlamaForCausalLM", "Qwen3ForCausalLM", "GPT2LMHeadModel"}) {
        for (const qn_plan_options &o : all_options()) {
            ASSERT_OK(make(small_config(name), o));
            std::vector<qn_buffer> buffers;
            for (const qn_buffer &b : plan.buffers)
                if (b.name) buffers.push_back(b);
            std::sort(buffers.begin(), buffers.end(), [](const qn_buffer &a, const qn_buffer &b) {
                return a.offset != b.offset ? a.offset < b.offset : bytes_of(a) < bytes_of(b);
            });
            size_t end = 0, groups[QN_N_GROUPS] = {};
            for (const qn_buffer &b : buffers) {
                EXPECT_EQ(b.offset, end) << b.name;
                EXPECT_EQ(b.offset % 256, 0u) << b.name;
                EXPECT_EQ(b.stride % 256, 0u) << b.name;
                EXPECT_GE(b.stride, (size_t)b.count * qn_dtype_size(b.dtype)) << b.name;
                EXPECT_LT(b.stride, (size_t)b.count * qn_dtype_size(b.dtype) + 256) << b.name;
                EXPECT_TRUE(b.copies == 1 || b.copies == 2) << b.name;
                end = b.offset + bytes_of(b);
                groups[b.group] += bytes_of(b);
            }
            EXPECT_EQ(end, plan.total_bytes);
            for (int g = 0; g < QN_N_GROUPS; g++)
                EXPECT_EQ(groups[g], plan.group_bytes[g])
                    << qn_buffer_group_name((qn_buffer_group)g);
        }
    }
}

// Each buffer is of its own: what is written into one copy is in no other.
TEST_F(Plan, EachKindHasItsBuffers) {
    struct Expected {
        const char *architecture;
        qn_plan_mode mode;
        std::vector<qn_buffer_id> there, absent;
    };
    const std::vector<Expected> all = {
        {"LlamaForCausalLM",
         QN_PLAN_TRAIN,
         {QN_BUF_ADAM_V, QN_BUF_D_FFN, QN_BUF_ROPE, QN_BUF_LOSS_SUMS},
         {QN_BUF_NORM1_MEAN, QN_BUF_QK, QN_BUF_CACHE_K, QN_BUF_LOGITS, QN_BUF_DOC_START}},
        {"Qwen3ForCausalLM", QN_PLAN_TRAIN, {QN_BUF_QK, QN_BUF_QK_RSTD}, {QN_BUF_FINAL_MEAN}},
        {"GPT2LMHeadModel",
         QN_PLAN_EVAL,
         {QN_BUF_NORM1_MEAN, QN_BUF_FINAL_MEAN, QN_BUF_LOSSES},
         {QN_BUF_ROPE, QN_BUF_GRADS, QN_BUF_ADAM_M, QN_BUF_D_RESID}},
        {"LlamaForCausalLM",
         QN_PLAN_GENERATE,
         {QN_BUF_CACHE_K, QN_BUF_CACHE_V, QN_BUF_LOGITS},
         {QN_BUF_TARGETS, QN_BUF_LOSSES, QN_BUF_GRADS}}};
    for (const Expected &e : all) {
        ASSERT_OK(make(small_config(e.architecture), small_options(2, 8, e.mode)));
        for (qn_buffer_id id : e.there) EXPECT_TRUE(plan.buffers[id].name) << id;
        for (qn_buffer_id id : e.absent) EXPECT_FALSE(plan.buffers[id].name) << id;
    }
}

// Only a training plan keeps copies a layer, and only the caches do in another.
TEST_F(Plan, CopiesFollowTheMode) {
    for (const qn_plan_options &o : all_options()) {
        ASSERT_OK(make(small_config("Qwen3ForCausalLM"), o));
        for (int id = 0; id < QN_N_BUFFERS; id++) {
            const qn_buffer &b = plan.buffers[id];
            const bool cache = id == QN_BUF_CACHE_K || id == QN_BUF_CACHE_V;
            if (!b.name || cache) continue;
            EXPECT_TRUE(b.copies == 1 || o.mode == QN_PLAN_TRAIN) << b.name;
            EXPECT_EQ(b.copies > 1, b.group == QN_GROUP_ACTIVATIONS) << b.name;
        }
        EXPECT_EQ(plan.buffers[QN_BUF_CACHE_K].copies, o.mode == QN_PLAN_GENERATE ? 2 : 0);
    }
}

// ---- sizes ------------------------------------------------------------------------------------

TEST_F(Plan, StateIsFourTimesTheParameters) {
    const qn_config config = preset("qwen2.5-0.5b");
    ASSERT_OK(make(config, small_options(1, 1024)));
    const double params = 4.0 * 494032768;
    EXPECT_NEAR((double)plan.group_bytes[QN_GROUP_PARAMS], params, 1e-4 * params);
    EXPECT_EQ(plan.group_bytes[QN_GROUP_GRADS], plan.group_bytes[QN_GROUP_PARAMS]);
    EXPECT_EQ(plan.group_bytes[QN_GROUP_OPTIMIZER], 2 * plan.group_bytes[QN_GROUP_PARAMS]);
}

// GPT-2 has 50,257 words: 47 rows are there for products alone.
TEST_F(Plan, TablesHaveRowsOfNoWord) {
    const qn_config config = preset("gpt2-124m");
    ASSERT_OK(make(config, small_options(1, 128)));
    for (qn_buffer_id id : {QN_BUF_PARAMS, QN_BUF_GRADS, QN_BUF_ADAM_M, QN_BUF_ADAM_V})
        EXPECT_EQ(plan.buffers[id].count, 124439808 + 47 * 768) << plan.buffers[id].name;
    ASSERT_OK(make(config, bf16_products(small_options(3, 16, QN_PLAN_GENERATE))));
    EXPECT_EQ(plan.buffers[QN_BUF_LOGITS].count, 3 * 50304);
    qn_gemm_args logits = {};
    logits.a = qn_tensor_2d(nullptr, QN_F32, 3, 768);
    logits.b = qn_tensor_2d(nullptr, QN_F32, 50304, 768);
    logits.c = qn_tensor_2d(nullptr, QN_F32, 3, 50304);
    logits.transpose_b = true;
    logits.compute = QN_BF16;
    EXPECT_GE(plan.buffers[QN_BUF_WORKSPACE].count * sizeof(float),
              backend->ops->gemm_workspace(backend, &logits));
}

// What each policy keeps of a layer, in fp32 a token (Llama): besides the block's input, q, k,
// v, the attention's output, the residual after it and the feed-forward's input; then two norms
// and the activation. Per token and norm one number, and one a head, come on top.
TEST_F(Plan, RecomputationKeepsWhatItSays) {
    const qn_config c = preset("llama2-7b");
    const size_t N = 4 * 2048, C = 4096, F = 11008, heads = 32, L = 32;
    const size_t block = 4 * N * C;
    const size_t norms = block + 4 * N * (3 * C + C + C + 2 * F + 2 + heads);
    const size_t none = norms + 4 * N * (2 * C + F);
    qn_plan_options o = small_options(4, 2048);
    const size_t expected[] = {none, norms, block};
    size_t last = std::numeric_limits<size_t>::max();
    for (qn_recompute policy : {QN_RECOMPUTE_NONE, QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK}) {
        o.recompute = policy;
        ASSERT_OK(make(c, o));
        EXPECT_EQ(plan.group_bytes[QN_GROUP_ACTIVATIONS], L * expected[policy]);
        EXPECT_LT(plan.total_bytes, last);
        last = plan.total_bytes;
    }
}

TEST_F(Plan, FusedAttentionIsLinearInLength) {
    const qn_config c = preset("qwen2.5-1.5b");
    qn_plan_options o = small_options(1, 4096);
    ASSERT_OK(make(c, o));
    const size_t kept = plan.group_bytes[QN_GROUP_ACTIVATIONS];
    const size_t scratch = plan.group_bytes[QN_GROUP_SCRATCH];
    o.seq_len *= 8;
    ASSERT_OK(make(c, o));
    EXPECT_EQ(plan.group_bytes[QN_GROUP_ACTIVATIONS], 8 * kept);
    EXPECT_LE(plan.group_bytes[QN_GROUP_SCRATCH], 8 * scratch);

    o.attention = QN_ATTN_NAIVE;
    ASSERT_OK(make(c, o));
    EXPECT_GE(plan.buffers[QN_BUF_WORKSPACE].stride, 4u * 12 * 32768 * 32768);
}

TEST_F(Plan, EvaluationNeedsLessThanTraining) {
    const qn_config c = preset("gpt2-124m");
    const size_t train = total(c, small_options(4, 1024));
    const size_t evaluate = total(c, small_options(4, 1024, QN_PLAN_EVAL));
    EXPECT_LT(4 * evaluate, train);
}

// 7.6 billion parameters with their state, 122 GB and more: planned, not allocated.
TEST_F(Plan, LargeModelsArePlannedWithoutMemory) {
    ASSERT_OK(make(preset("qwen2.5-7b"), small_options(8, 8192)));
    EXPECT_GT(plan.total_bytes, 16ull * 7615616512);
    EXPECT_GT(plan.buffers[QN_BUF_PARAMS].count, std::numeric_limits<int32_t>::max());
}

TEST_F(Plan, ModelThatDoesNotFitSaysWhatItNeeds) {
    const qn_config config = preset("qwen2.5-7b");
    const qn_plan_options o = small_options(4096, 131072);
    qn_model *model = nullptr;
    EXPECT_ERROR(qn_model_create(backend, &config, &o, &model), QN_CODE_MEMORY, "GB",
                 "free; the model's parameters", "--recompute block --batch-size 1 --seq-len 128",
                 "a smaller model or a device");
    EXPECT_EQ(model, nullptr);
}

// ---- options that cannot be ------------------------------------------------------------------

TEST_F(Plan, OptionsAreChecked) {
    const qn_config llama = small_config("LlamaForCausalLM");
    const int64_t huge = std::numeric_limits<int64_t>::max();
    for (int64_t bad : {(int64_t)0, (int64_t)-1, huge}) {
        const std::string value = std::to_string(bad);
        EXPECT_ERROR(make(llama, small_options(bad, 8)), QN_CODE_USAGE, "batch size", value);
        EXPECT_ERROR(make(llama, small_options(2, bad)), QN_CODE_USAGE, "sequence length", value);
        qn_plan_options o = small_options(2, 8);
        o.grad_accum = bad;
        EXPECT_ERROR(make(llama, o), QN_CODE_USAGE, "accumulation", value);
    }
    qn_plan_options o = small_options(2, 8);
    o.compute = QN_I32;
    EXPECT_ERROR(make(llama, o), QN_CODE_USAGE, "int32", "bf16");
    o = small_options(2, 8, QN_PLAN_GENERATE);
    o.documents = true;
    EXPECT_ERROR(make(llama, o), QN_CODE_USAGE, "documents");
    EXPECT_OK(make(small_config("GPT2LMHeadModel"), small_options(2, 40)));
    EXPECT_ERROR(make(small_config("GPT2LMHeadModel"), small_options(2, 41)), QN_CODE_USAGE, "41",
                 "40");
}

TEST_F(Plan, SizesBeyondMemoryAreErrors) {
    const qn_config llama = small_config("LlamaForCausalLM");
    const int64_t most = std::numeric_limits<int32_t>::max();
    EXPECT_ERROR(make(llama, small_options(most, most)), QN_CODE_USAGE, "2147483647");
    // Every buffer could be; the square of scores could not.
    for (qn_plan_mode mode : {QN_PLAN_TRAIN, QN_PLAN_EVAL}) {
        qn_plan_options o = small_options(1, most - 1, mode);
        EXPECT_OK(make(llama, o));
        o.attention = QN_ATTN_NAIVE;
        EXPECT_ERROR(make(llama, o), QN_CODE_USAGE, "2147483646");
    }
}

// ---- arithmetic
// ----------------------------------------------------------------------------------

// PaLM (2204.02311, appendix B): 6N + 12·L·H·Q·T for the full square of scores.
TEST_F(Plan, FlopsOfAToken) {
    auto flops = [&](const qn_config &config, int64_t seq_len) {
        qn_params params;
        EXPECT_OK(qn_params_make(&config, &params));
        const double out = qn_plan_flops_per_token(&config, &params, seq_len);
        qn_params_free(&params);
        return out;
    };
    // Llama 2 7B without the embedding table that it only looks up.
    EXPECT_EQ(flops(preset("llama2-7b"), 4096),
              6.0 * (6738415616 - 32000 * 4096) + 6.0 * 32 * 32 * 128 * 4096);
    // GPT-2 multiplies by its token table, but only looks up its positions.
    EXPECT_EQ(flops(preset("gpt2-124m"), 1024),
              6.0 * (124439808 - 1024 * 768) + 6.0 * 12 * 12 * 64 * 1024);
}

} // namespace
