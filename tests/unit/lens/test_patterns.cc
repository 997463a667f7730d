// test_patterns.cc: heads that attend to a planted distance, and scores as a function of distance.
#include "figures.h"
#include "planted_model.h"
#include "quern/activations.h"

namespace {

enum { kSequences = 3, kLength = 38 };

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

const qn_probe_tokens kTokens = {2, 60, 1, 5};

struct Text {
    explicit Text(const qn_config &config, int ignored_every = 4)
        : batch(random_batch(config, kSequences, kLength, 3, ignored_every)),
          view_of(view(batch)), text{&view_of, 1} {}
    reference::Batch batch;
    qn_batch view_of;
    qn_probe_text text;
};

TEST(Patterns, OfHeadsThatLookNowhereAreTheBaselines) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    for (int64_t l = 0; l < 2; l++) {
        scale_param(m, QN_Q_W, l, 0);
        scale_param(m, QN_Q_B, l, 0);
    }
    Figures f;
    ASSERT_OK(qn_probe_patterns(m.model, &kTokens, &f.list));
    for (int64_t i = 0; i < f.list.count; i++) {
        EXPECT_NEAR(f.list.items[i].value, f.list.items[i].baseline, 1e-12)
            << f.list.items[i].metric;
    }
    EXPECT_EQ(f.list.count, 2 * 4 * 3);
}

TEST(Patterns, APreviousTokenHead) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    plant_distance(m, 1, 1, 40);
    Figures f;
    ASSERT_OK(qn_probe_patterns(m.model, &kTokens, &f.list));
    for (int64_t h = 0; h < 4; h++) {
        EXPECT_GT(f.value("previous_token", 1, h), 0.95);
        EXPECT_GT(f.value("offset", 1, h, 1), 0.95);
        EXPECT_LT(f.value("induction", 1, h), 0.1);
    }
    // (T − 2) keys that are not the first, of each sequence of 12 passes of 3.
    EXPECT_EQ(f.at("previous_token", 1, 0).n, 33 * (kLength - 2));
}

// A head that attends to one distance copies a period that is one longer, and no other.
TEST(Patterns, AnOffsetHeadIsNoInductionHead) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    plant_distance(m, 0, 9, 40);
    Figures f;
    ASSERT_OK(qn_probe_patterns(m.model, &kTokens, &f.list));
    EXPECT_GT(f.value("offset", 0, 0, 9), 0.95);
    EXPECT_LT(f.value("previous_token", 0, 0), 0.01);
    const double share = f.value("induction", 0, 0); // of periods of 10 among 8 to 18
    EXPECT_GT(share, 0.01);
    EXPECT_LT(share, 0.35);
}

// The shortest period is 8, and its key 7 back.
TEST(Patterns, TheKeyOfInductionFollowsTheRepeatedToken) {
    for (int64_t distance : {6, 7}) {
        SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
        plant_distance(m, 0, (double)distance, 40);
        Figures f;
        ASSERT_OK(qn_probe_patterns(m.model, &kTokens, &f.list));
        if (distance == 7) {
            EXPECT_GT(f.value("induction", 0, 0), 0.02);
        } else {
            EXPECT_LT(f.value("induction", 0, 0), 0.01);
        }
    }
}

TEST(Patterns, AreAFunctionOfTheSeed) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    Figures first, again, other;
    qn_probe_tokens tokens = kTokens;
    ASSERT_OK(qn_probe_patterns(m.model, &tokens, &first.list));
    ASSERT_OK(qn_probe_patterns(m.model, &tokens, &again.list));
    tokens.seed++;
    ASSERT_OK(qn_probe_patterns(m.model, &tokens, &other.list));
    EXPECT_EQ(first.value("induction", 1, 2), again.value("induction", 1, 2));
    EXPECT_NE(first.value("induction", 1, 2), other.value("induction", 1, 2));
}

TEST(Patterns, RefuseWhatTheyCannotUse) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(1, 17, QN_PLAN_INSPECT));
    SmallModel long_enough(small_config("LlamaForCausalLM"), inspected());
    Figures f;
    qn_probe_tokens beyond = {2, 62, 1, 5};
    EXPECT_ERROR(qn_probe_patterns(m.model, &kTokens, &f.list), QN_CODE_USAGE, "17");
    EXPECT_ERROR(qn_probe_patterns(long_enough.model, &beyond, &f.list), QN_CODE_INVALID, "61");
    qn_probe_tokens below = {2, 60, -2, 5};
    EXPECT_ERROR(qn_probe_patterns(long_enough.model, &below, &f.list), QN_CODE_INVALID, "-2");
}

TEST(Distance, OfEqualVectorsTheProfileIsTheScore) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    const Text text(m.config);
    plant_distance(m, 0, 3, 2);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    for (int64_t d : {0, 1, 2, 3, 7, 31})
        EXPECT_NEAR(f.value("profile", 0, 1, d), planted_score(m.config, 3, 2, d), 1e-5);
    EXPECT_NEAR(f.value("position_share", 0, 1), 1, 1e-6);
}

// And the score is the one that attention makes of its own q and k.
TEST(Distance, OfEqualVectorsTheProfileIsTheScoreOfThePass) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    const Text text(m.config);
    const int64_t D = m.config.head_dim, width = m.config.n_heads * D, head = 2;
    plant_distance(m, 1, 5, 2);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    std::vector<float> q(kSequences * kLength * width), k(q.size());
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_Q, q.data()));
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_K, k.data()));
    for (const qn_lens_figure &p : f.all("profile", 1, head)) {
        const int64_t i = kLength - 1, j = i - p.at;
        double s = 0;
        for (int64_t d = 0; d < D; d++)
            s += (double)q[i * width + head * D + d] * k[j * width + head * D + d];
        EXPECT_NEAR(p.value, s / std::sqrt((double)D), 1e-5) << p.at;
    }
    EXPECT_EQ(f.all("profile", 1, head).size(), 35u); // 0 to 32, 34, 37
}

// The same by a sum over all pairs, from what attention read.
TEST(Distance, TheShareOfPositionAgreesWithAllPairs) {
    qn_config config = with_window(with_groups(small_config("MistralForCausalLM")));
    config.sliding_window = 11;
    SmallModel m(config, inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    double loss;
    ASSERT_OK(qn_model_evaluate(m.model, &text.view_of, &loss));
    std::vector<float> q(kSequences * kLength * 4 * 8), k(kSequences * kLength * 2 * 8);
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_Q, q.data()));
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_K, k.data()));
    const int64_t head = 3;
    std::vector<std::vector<double>> by_distance(kLength);
    for (int64_t b = 0; b < kSequences; b++) {
        for (int64_t i = 0; i < kLength; i++) {
            if (text.batch.targets[b * kLength + i] < 0) continue;
            for (int64_t j = std::max<int64_t>(0, i - 10); j <= i; j++) {
                double s = 0;
                for (int64_t d = 0; d < 8; d++)
                    s += (double)q[((b * kLength + i) * 4 + head) * 8 + d] *
                         k[((b * kLength + j) * 2 + head / 2) * 8 + d];
                by_distance[i - j].push_back(s / std::sqrt(8.0));
            }
        }
    }
    double n = 0, mean = 0, all = 0, between = 0, groups = 0;
    for (const auto &group : by_distance)
        for (double s : group) n++, mean += s;
    mean /= n;
    for (const auto &group : by_distance) {
        double sum = 0;
        for (double s : group) sum += s - mean, all += (s - mean) * (s - mean);
        if (!group.empty()) between += sum * sum / (double)group.size(), groups++;
    }
    const qn_lens_figure share = f.at("position_share", 1, head);
    EXPECT_NEAR(share.value, between / all, 1e-9);
    EXPECT_EQ(share.n, (int64_t)n);
    EXPECT_EQ(groups, 11);
    EXPECT_NEAR(share.baseline, (groups - 1) / (n - 1), 1e-12);
}

TEST(Distance, IsOfRotaryModelsAlone) {
    SmallModel m(small_config("GPT2LMHeadModel"), inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    EXPECT_EQ(f.list.count, 0);
}

} // namespace
