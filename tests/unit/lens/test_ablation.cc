// test_ablation.cc: the loss without a head, against a model whose head has no values.
#include "figures.h"
#include "planted_model.h"
#include "quern/activations.h"

namespace {

enum { kSequences = 2, kLength = 19 };

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

struct Text {
    explicit Text(const qn_config &config)
        : first(random_batch(config, kSequences, kLength, 1, 4)),
          second(random_batch(config, kSequences, kLength, 2)), batches{view(first), view(second)},
          text{batches, 2} {}
    reference::Batch first, second;
    qn_batch batches[2];
    qn_probe_text text;
};

double loss_of(SmallModel &m, const Text &text) {
    double loss = NAN;
    EXPECT_OK(qn_probe_loss(m.model, &text.text, &loss));
    return loss;
}

// Sets what makes the values of one head to 0: rows of Wv, or columns of GPT-2's matrix.
void clear_values(SmallModel &m, int64_t layer, int64_t head) {
    const int64_t C = m.config.hidden_size, D = m.config.head_dim;
    if (m.config.arch == QN_ARCH_LLAMA) {
        change_param(m, QN_V_W, layer, [&](std::vector<float> &v) {
            for (int64_t i = head * D * C; i < (head + 1) * D * C; i++) v[i] = 0;
        });
        return;
    }
    for (qn_role role : {QN_QKV_W, QN_QKV_B}) {
        change_param(m, role, layer, [&](std::vector<float> &v) {
            for (int64_t i = 0; i < (int64_t)v.size(); i++) {
                const int64_t column = i % (3 * C) - 2 * C - head * D;
                if (column >= 0 && column < D) v[i] = 0;
            }
        });
    }
}

TEST(Ablation, IsTheLossOfAHeadWithoutValues) {
    for (const char *name : {"LlamaForCausalLM", "GPT2LMHeadModel"}) {
        SmallModel m(small_config(name), inspected());
        const Text text(m.config);
        Figures all, one;
        ASSERT_OK(qn_probe_ablation(m.model, &text.text, -1, -1, &all.list));
        ASSERT_OK(qn_probe_ablation(m.model, &text.text, 1, 2, &one.list));
        EXPECT_EQ(all.list.count, 8);
        EXPECT_EQ(one.list.count, 1);
        const double with = loss_of(m, text);
        clear_values(m, 1, 2);
        const double without = loss_of(m, text);
        EXPECT_NEAR(all.value("ablation", 1, 2), without - with, 1e-6) << name;
        EXPECT_EQ(all.value("ablation", 1, 2), one.value("ablation", 1, 2));
        EXPECT_NE(all.value("ablation", 1, 2), all.value("ablation", 1, 1));
        EXPECT_GT(std::abs(without - with), 1e-3);
        EXPECT_GT(one.at("ablation", 1, 2).error, 0);
        Figures nothing;
        ASSERT_OK(qn_probe_ablation(m.model, &text.text, 1, 2, &nothing.list));
        EXPECT_NEAR(nothing.value("ablation", 1, 2), 0, 1e-6);
    }
}

// The error is that of the batches' differences, a token of the mean batch.
TEST(Ablation, ItsErrorIsOfBatches) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const Text text(m.config);
    Figures all, of[2];
    ASSERT_OK(qn_probe_ablation(m.model, &text.text, 1, 2, &all.list));
    double difference[2];
    const double tokens = (double)all.at("ablation", 1, 2).n / 2;
    for (int i = 0; i < 2; i++) {
        const qn_probe_text one = {&text.batches[i], 1};
        ASSERT_OK(qn_probe_ablation(m.model, &one, 1, 2, &of[i].list));
        const qn_lens_figure alone = of[i].at("ablation", 1, 2);
        EXPECT_TRUE(std::isnan(alone.error));
        difference[i] = alone.value * (double)alone.n / tokens;
    }
    const double error = std::abs(difference[0] - difference[1]) / 2;
    EXPECT_NEAR(all.at("ablation", 1, 2).error, error, 1e-9 + 1e-6 * error);
}

TEST(Ablation, IsUndoneToTheBit) {
    for (bool narrow : {false, true}) {
        SmallModel m(small_config("LlamaForCausalLM"),
                     narrow ? bf16_storage(inspected()) : inspected());
        const Text text(m.config);
        const std::vector<float> before = m.buffer(m.params_id());
        qn_ablation *ablation;
        ASSERT_OK(qn_ablate_head(m.model, 0, 3, &ablation));
        EXPECT_NE(m.buffer(m.params_id()), before);
        ASSERT_OK(qn_ablation_undo(ablation));
        EXPECT_EQ(m.buffer(m.params_id()), before);
    }
}

TEST(Ablation, RefusesAHeadThatIsNotThere) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    qn_ablation *ablation;
    EXPECT_ERROR(qn_ablate_head(m.model, 0, 4, &ablation), QN_CODE_USAGE, "0 to 3");
    EXPECT_ERROR(qn_ablate_head(m.model, 2, 0, &ablation), QN_CODE_USAGE, "layer 2");
    const Text text(m.config);
    Figures f;
    EXPECT_ERROR(qn_probe_ablation(m.model, &text.text, -2, 0, &f.list), QN_CODE_USAGE, "-2");
    EXPECT_EQ(f.list.count, 0);
}

// Of one matrix of three, too.
TEST(Change, IsRelativeToTheOrigin) {
    for (const char *name : {"LlamaForCausalLM", "GPT2LMHeadModel"}) {
        SmallModel m(small_config(name), inspected());
        qn_probe_origin *origin;
        ASSERT_OK(qn_probe_origin_take(m.model, &origin));
        Figures before, after;
        ASSERT_OK(qn_probe_change(m.model, origin, &before.list));
        EXPECT_EQ(before.value("change_q", 1), 0);
        if (m.config.arch == QN_ARCH_LLAMA) {
            scale_param(m, QN_K_W, 1, 1.5f);
        } else {
            const int64_t C = m.config.hidden_size;
            change_param(m, QN_QKV_W, 1, [&](std::vector<float> &v) {
                for (int64_t i = 0; i < (int64_t)v.size(); i++)
                    if (i % (3 * C) >= C && i % (3 * C) < 2 * C) v[i] *= 1.5f;
            });
        }
        scale_param(m, QN_WTE, -1, 0.75f);
        ASSERT_OK(qn_probe_change(m.model, origin, &after.list));
        EXPECT_EQ(after.value("change_q", 1), 0) << name;
        EXPECT_NEAR(after.value("change_k", 1), 0.5, 1e-6) << name;
        EXPECT_EQ(after.value("change_k", 0), 0) << name;
        EXPECT_NEAR(after.value("change_embedding", -1), 0.25, 1e-6) << name;
        qn_probe_origin_free(origin);
    }
}

} // namespace
