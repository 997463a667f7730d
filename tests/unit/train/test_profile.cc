#include "quern/profile.h"

#include <map>

#include "harness/small_model.h"

static const int64_t B = 2, T = 16;

// What one step of training leaves, on any backend.
struct Outcome {
    std::vector<float> grads;
    double loss;
};

static Outcome one_step(qn_backend *backend, const qn_config &config,
                        qn_recompute recompute = QN_RECOMPUTE_NONE) {
    qn_plan_options options = small_options(B, T);
    options.recompute = recompute;
    const reference::Batch batch = random_batch(config, B, T, 5);
    const qn_batch b = view(batch);
    qn_model *model;
    Outcome out;
    EXPECT_OK(qn_model_create(backend, &config, &options, &model));
    EXPECT_OK(qn_model_init(model, 1));
    EXPECT_OK(qn_model_zero_grads(model));
    EXPECT_OK(qn_model_forward(model, &b, 0, 1.0f / (B * T)));
    EXPECT_OK(qn_model_backward(model, nullptr, nullptr));
    EXPECT_OK(qn_model_loss_sum(model, 1, &out.loss));
    out.grads.resize(qn_model_params(model)->n_elements);
    EXPECT_OK(backend->ops->copy(qn_model_stream(model), out.grads.data(),
                                 qn_model_buffer(model, QN_BUF_GRADS),
                                 out.grads.size() * sizeof(float), QN_COPY_TO_HOST));
    qn_model_destroy(model);
    return out;
}

class Profile : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        ASSERT_OK(qn_cpu_open(2, &inner));
        ASSERT_OK(qn_profile_open(inner, &profile));
    }
    void TearDown() override {
        profile->ops->close(profile);
        // It is still open.
        qn_device_info info;
        EXPECT_OK(inner->ops->device_info(inner, &info));
        inner->ops->close(inner);
    }
    std::map<std::string, qn_profile_entry> read() {
        const qn_profile_entry *entries;
        int count = 0;
        EXPECT_OK(qn_profile_read(profile, &entries, &count));
        std::map<std::string, qn_profile_entry> by_name;
        for (int i = 0; i < count; i++) {
            by_name[entries[i].op] = entries[i];
            if (i) {
                EXPECT_LE(entries[i].seconds, entries[i - 1].seconds);
            }
        }
        EXPECT_EQ(by_name.size(), (size_t)count);
        return by_name;
    }
    qn_backend *inner, *profile;
};

class AttentionProfile : public testing::Test {
  protected:
    static const int64_t kB = 2, kT = 11, kHeads = 4, kKvHeads = 2, kD = 8;
    struct Mask {
        bool causal;
        int64_t window;
        bool documents;
        int64_t n_queries;
    };

    void SetUp() override {
        ASSERT_OK(qn_cpu_open(1, &inner));
        ASSERT_OK(qn_profile_open(inner, &profile));
        ASSERT_OK(profile->ops->stream_create(profile, &stream));
        for (auto *values : {&q, &k, &v, &o}) values->resize(kB * kT * kHeads * kD, 0.5f);
        lse.resize(kB * kHeads * kT);
        doc_start = {0, 0, 0, 3, 4, 4, 4, 4, 8, 8, 8, 0, 1, 1, 1, 1, 1, 1, 7, 7, 9, 9};
    }
    void TearDown() override {
        profile->ops->stream_destroy(stream);
        profile->ops->close(profile);
        inner->ops->close(inner);
    }
    qn_attention_args arguments(const Mask &m) {
        qn_attention_args a = {};
        a.q = qn_tensor_4d(q.data(), QN_F32, kB, m.n_queries, kHeads, kD);
        a.k = qn_tensor_4d(k.data(), QN_F32, kB, kT, kKvHeads, kD);
        a.v = qn_tensor_4d(v.data(), QN_F32, kB, kT, kKvHeads, kD);
        a.o = qn_tensor_4d(o.data(), QN_F32, kB, m.n_queries, kHeads, kD);
        a.lse = qn_tensor_3d(lse.data(), QN_F32, kB, kHeads, m.n_queries);
        if (m.documents) a.doc_start = qn_tensor_2d(doc_start.data(), QN_I32, kB, kT);
        a.scale = 1;
        a.causal = m.causal;
        a.window = m.window;
        a.impl = QN_ATTN_FUSED;
        workspace.resize(profile->ops->attention_forward_workspace(profile, &a) + 64);
        a.workspace = (void *)(((uintptr_t)workspace.data() + 63) / 64 * 64);
        return a;
    }
    double measured(const Mask &m) {
        const qn_attention_args a = arguments(m);
        const qn_profile_entry *entries;
        int count = 0;
        EXPECT_OK(qn_profile_reset(profile));
        EXPECT_OK(profile->ops->attention_forward(stream, &a));
        EXPECT_OK(qn_profile_read(profile, &entries, &count));
        EXPECT_EQ(count, 1);
        return entries[0].flops;
    }
    double pairs(const Mask &m) const {
        double n = 0;
        for (int64_t b = 0; b < kB; b++)
            for (int64_t i = kT - m.n_queries; i < kT; i++)
                for (int64_t j = 0; j < kT; j++) {
                    if (m.causal && j > i) continue;
                    if (m.window && std::abs(i - j) >= m.window) continue;
                    if (m.documents && doc_start[b * kT + i] != doc_start[b * kT + j]) continue;
                    n++;
                }
        return n;
    }

    qn_backend *inner, *profile;
    qn_stream *stream;
    std::vector<float> q, k, v, o, lse;
    std::vector<int32_t> doc_start;
    std::vector<char> workspace;
};

INSTANTIATE_TEST_SUITE_P(Models, Profile, testing::Values("LlamaForCausalLM", "GPT2LMHeadModel"));

TEST_P(Profile, ChangesNoBit) {
    const qn_config config = small_config(GetParam());
    const Outcome plain = one_step(inner, config), timed = one_step(profile, config);
    EXPECT_EQ(plain.loss, timed.loss);
    EXPECT_EQ(plain.grads, timed.grads);
}

TEST_P(Profile, CountsCallsAndOperations) {
    const qn_config c = small_config(GetParam());
    const bool llama = c.arch == QN_ARCH_LLAMA;
    const int64_t L = c.n_layers;
    one_step(profile, c);
    auto entries = read();
    EXPECT_EQ(entries["attention"].calls, L);
    EXPECT_EQ(entries["attention backward"].calls, L);
    EXPECT_EQ(entries["norm"].calls, 2 * L + 1);
    EXPECT_EQ(entries["norm backward"].calls, 2 * L + 1);
    EXPECT_EQ(entries["embedding"].calls, 1);
    EXPECT_EQ(entries["embedding backward"].calls, 1);
    EXPECT_EQ(entries["classifier"].calls, 1);
    EXPECT_EQ(entries.count("swiglu"), llama ? 1u : 0u);
    EXPECT_EQ(entries.count("adamw"), 0u) << "was not called";

    const double N = B * T, C = c.hidden_size, F = c.ffn_size, heads = c.n_heads * c.head_dim;
    const double matrices = L * (4 * C * heads + (llama ? 3 : 2) * C * F);
    EXPECT_EQ(entries["gemm"].flops, 6 * N * matrices);
    EXPECT_EQ(entries["classifier"].flops, 6 * N * C * c.vocab_size);
    const double pairs = B * T * (T + 1) / 2;
    EXPECT_EQ(entries["attention"].flops, L * 4 * pairs * heads);
    EXPECT_EQ(entries["attention backward"].flops, L * 10 * pairs * heads);
    EXPECT_EQ(entries["norm"].flops, 0);

    const double kv = c.n_kv_heads * c.head_dim, size = sizeof(float);
    EXPECT_EQ(entries["attention"].bytes, L * N * (2 * heads + 2 * kv + c.n_heads) * size);
    EXPECT_EQ(entries["attention backward"].bytes, L * N * (4 * heads + 4 * kv + c.n_heads) * size);
    EXPECT_EQ(entries["norm"].bytes,
              (2 * L * 4 * N * C + 2 * N * C + (2 * L + 1) * (llama ? 1 : 2) * N) * size);
    EXPECT_EQ(entries["classifier"].bytes, (2 * N * C + 3 * C * c.vocab_size) * size);
    if (llama) {
        EXPECT_EQ(entries["swiglu"].bytes, L * 3 * N * F * size);
        EXPECT_EQ(entries["swiglu backward"].bytes, L * 5 * N * F * size);
    }
    for (const auto &[name, entry] : entries) EXPECT_GT(entry.seconds, 0) << name;
}

// Against a count of every pair of a query and a key, by the definition of each mask.
TEST_F(AttentionProfile, CountsWhatIsVisible) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 1, 3, 40})
            for (bool documents : {false, true})
                for (int64_t n_queries : {kT, kT / 2, (int64_t)1}) {
                    const Mask mask = {causal, window, documents, n_queries};
                    EXPECT_EQ(measured(mask), 4 * pairs(mask) * kHeads * kD)
                        << causal << " " << window << " " << documents << " " << n_queries;
                }
}

// What the backend refuses is neither read nor booked.
TEST_F(AttentionProfile, BooksNothingForWhatIsRefused) {
    qn_attention_args args = arguments({true, 0, true, kT});
    args.doc_start.shape[1] = kT / 2;
    EXPECT_ERROR(profile->ops->attention_forward(stream, &args), QN_CODE_INVALID, "doc_start");
    const qn_profile_entry *entries;
    int count = -1;
    EXPECT_OK(qn_profile_read(profile, &entries, &count));
    EXPECT_EQ(count, 0);
}

// The backward pass makes again what is gone and what it reads, no more: nothing of the last
// block, and of the others no product down.
TEST_P(Profile, RecomputesOnlyWhatIsGone) {
    qn_config c = small_config(GetParam());
    c.n_layers = 3;
    const bool llama = c.arch == QN_ARCH_LLAMA;
    const int64_t L = c.n_layers, again = L - 1;
    const Outcome kept = one_step(profile, c);
    const int64_t products = read()["gemm"].calls;
    for (qn_recompute policy : {QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK}) {
        EXPECT_OK(qn_profile_reset(profile));
        const Outcome recomputed = one_step(profile, c, policy);
        EXPECT_EQ(recomputed.loss, kept.loss);
        EXPECT_EQ(recomputed.grads, kept.grads);
        const bool block = policy == QN_RECOMPUTE_BLOCK;
        auto entries = read();
        EXPECT_EQ(entries["gemm"].calls, products + (block ? 3 * again : 0));
        EXPECT_EQ(entries["attention"].calls, L + (block ? again : 0));
        EXPECT_EQ(entries["norm"].calls, 2 * L + 1 + 2 * again);
        EXPECT_EQ(entries["swiglu"].calls, llama ? L + again : 0);
        EXPECT_EQ(entries["gelu"].calls, llama || block ? 0 : again);
    }
}

TEST_P(Profile, ResetForgets) {
    one_step(profile, small_config(GetParam()));
    EXPECT_OK(qn_profile_reset(profile));
    EXPECT_TRUE(read().empty());
    one_step(profile, small_config(GetParam()));
    EXPECT_EQ(read()["classifier"].calls, 1);
}

TEST_P(Profile, PassesErrorsOn) {
    qn_stream *stream;
    ASSERT_OK(profile->ops->stream_create(profile, &stream));
    float x[4] = {};
    qn_status status =
        profile->ops->add(stream, qn_tensor_2d(x, QN_F32, 2, 2), qn_tensor_2d(x, QN_F32, 4, 1),
                          qn_tensor_2d(x, QN_F32, 2, 2));
    EXPECT_EQ(qn_status_code(status), QN_CODE_INVALID);
    qn_status_free(status);
    profile->ops->stream_destroy(stream);
}
