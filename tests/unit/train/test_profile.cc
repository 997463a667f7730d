#include "quern/profile.h"

#include <map>

#include "harness/small_model.h"

static const int64_t B = 2, T = 16;

// What one step of training leaves, on any backend.
struct Outcome {
    std::vector<float> grads;
    double loss;
};

static Outcome one_step(qn_backend *backend, const qn_config &config) {
    const qn_plan_options options = small_options(B, T);
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
        const int count = qn_profile_read(profile, &entries);
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
    EXPECT_EQ(entries["attention"].flops, L * 2 * N * T * heads);
    EXPECT_EQ(entries["attention backward"].flops, L * 5 * N * T * heads);
    EXPECT_EQ(entries["norm"].flops, 0);
    for (const auto &[name, entry] : entries) EXPECT_GT(entry.seconds, 0) << name;
}

TEST_P(Profile, ResetForgets) {
    one_step(profile, small_config(GetParam()));
    qn_profile_reset(profile);
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
