// test_patterns.cc: heads that attend to a planted distance, and scores as a function of distance.
#include <cmath>
#include <map>

#include "figures.h"
#include "planted_model.h"
#include "quern/activations.h"

namespace {

enum { kSequences = 3, kLength = 38 };

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

const qn_probe_tokens kTokens = {2, 60, 1, 5};

struct Text {
    explicit Text(const qn_config &config, bool documents = false)
        : batch(made(config, documents)), view_of(view(batch)), text{&view_of, 1} {}
    static reference::Batch made(const qn_config &config, bool documents) {
        const reference::Batch one = random_batch(config, kSequences, kLength, 3, 4);
        return documents ? with_documents(one, 7) : one;
    }
    reference::Batch batch;
    qn_batch view_of;
    qn_probe_text text;
};

qn_lens_figure offset_of(const Figures &f, int64_t layer, int64_t head) {
    for (int64_t d = 1; d < kLength; d++)
        for (const qn_lens_figure &x : f.all("offset", layer, head))
            if (x.at == d) return x;
    ADD_FAILURE() << "no offset of head " << head;
    return {};
}

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

// A distance that fewer than eight rows of a sequence reach is judged by none of them.
TEST(Patterns, DistancesOfFewRowsAreNoOffsets) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    plant_distance(m, 0, kLength - 4, 40);
    Figures f;
    ASSERT_OK(qn_probe_patterns(m.model, &kTokens, &f.list));
    for (const qn_lens_figure &offset : {offset_of(f, 0, 0), offset_of(f, 0, 3)}) {
        EXPECT_LE(offset.at, kLength - 9);
        EXPECT_GE(offset.n, 33 * 8);
    }
}

// Errors are as large as what other draws of tokens change.
TEST(Patterns, ErrorsAreThoseOfRepeatedDraws) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const char *const metrics[] = {"previous_token", "induction"};
    const int draws = 30;
    double sum[2] = {}, square[2] = {}, error[2] = {};
    for (int seed = 0; seed < draws; seed++) {
        qn_probe_tokens tokens = kTokens;
        tokens.seed = 100 + seed;
        Figures f;
        ASSERT_OK(qn_probe_patterns(m.model, &tokens, &f.list));
        for (int i = 0; i < 2; i++) {
            const qn_lens_figure figure = f.at(metrics[i], 1, 2);
            sum[i] += figure.value, square[i] += figure.value * figure.value;
            error[i] += figure.error / draws;
        }
    }
    for (int i = 0; i < 2; i++) {
        const double spread = std::sqrt((square[i] - sum[i] * sum[i] / draws) / (draws - 1));
        EXPECT_GT(error[i], 0.6 * spread) << metrics[i];
        EXPECT_LT(error[i], 1.7 * spread) << metrics[i];
    }
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

// ---- scores by distance, as sums over all pairs of what attention read ----------------------

struct Score {
    int64_t sequence, row, distance;
    double value;
};

// Turns x (n, heads, D) at positions n % kLength back.
void turn_back(const qn_config &c, int64_t heads, std::vector<float> &x) {
    const int64_t D = c.head_dim, half = D / 2;
    for (size_t v = 0; v < x.size() / D; v++) {
        for (int64_t i = 0; i < half; i++) {
            const double position = (double)((int64_t)v / heads % kLength);
            const double angle = position * std::pow(c.rope_theta, -2.0 * (double)i / (double)D);
            const double a = x[v * D + i], b = x[v * D + half + i];
            x[v * D + i] = (float)(a * std::cos(angle) + b * std::sin(angle));
            x[v * D + half + i] = (float)(b * std::cos(angle) - a * std::sin(angle));
        }
    }
}

// Of a head of layer 1, after a pass; of q and k before rotation, where that is asked for.
std::vector<Score> all_scores(SmallModel &m, const Text &text, int64_t head,
                              bool unturned = false) {
    const int64_t D = m.config.head_dim, Hq = m.config.n_heads, Hkv = m.config.n_kv_heads;
    const int64_t window = m.config.sliding_window ? m.config.sliding_window : (int64_t)kLength;
    std::vector<float> q(kSequences * kLength * Hq * D), k(kSequences * kLength * Hkv * D);
    double loss;
    EXPECT_OK(qn_model_evaluate(m.model, &text.view_of, &loss));
    EXPECT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_Q, q.data()));
    EXPECT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_K, k.data()));
    if (unturned) turn_back(m.config, Hq, q), turn_back(m.config, Hkv, k);
    std::vector<Score> scores;
    for (int64_t b = 0; b < kSequences; b++) {
        for (int64_t i = 0; i < kLength; i++) {
            if (text.batch.targets[b * kLength + i] < 0) continue;
            const int64_t document =
                text.batch.doc_start.empty() ? 0 : text.batch.doc_start[b * kLength + i];
            for (int64_t j = std::max(document, i - window + 1); j <= i; j++) {
                double s = 0;
                for (int64_t d = 0; d < D; d++)
                    s += (double)q[((b * kLength + i) * Hq + head) * D + d] *
                         k[((b * kLength + j) * Hkv + head * Hkv / Hq) * D + d];
                scores.push_back({b, i, i - j, s / std::sqrt((double)D)});
            }
        }
    }
    return scores;
}

double share_of(const std::vector<Score> &scores, int64_t but_sequence, int64_t *distances) {
    std::map<int64_t, std::vector<double>> by_distance;
    double n = 0, mean = 0, all = 0, between = 0;
    for (const Score &s : scores) {
        if (s.sequence == but_sequence) continue;
        by_distance[s.distance].push_back(s.value);
        n++, mean += s.value;
    }
    mean /= n;
    for (const auto &[distance, group] : by_distance) {
        double sum = 0;
        for (double s : group) sum += s - mean, all += (s - mean) * (s - mean);
        between += sum * sum / (double)group.size();
    }
    *distances = (int64_t)by_distance.size();
    return between / all;
}

TEST(Distance, TheShareOfPositionAgreesWithAllPairs) {
    qn_config config = with_window(with_groups(small_config("MistralForCausalLM")));
    config.sliding_window = 11;
    SmallModel m(config, inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    const std::vector<Score> scores = all_scores(m, text, 3);
    const double n = (double)scores.size();
    const qn_lens_figure share = f.at("position_share", 1, 3);
    int64_t distances;
    EXPECT_NEAR(share.value, share_of(scores, -1, &distances), 1e-9);
    EXPECT_EQ(share.n, (int64_t)n);
    EXPECT_EQ(distances, 11);
    EXPECT_NEAR(share.baseline, share_of(all_scores(m, text, 3, true), -1, &distances), 1e-6);
    EXPECT_GT(std::abs(share.baseline - share.value), 1e-3);

    double mean = 0, squares = 0, without[kSequences];
    for (int64_t b = 0; b < kSequences; b++)
        mean += (without[b] = share_of(scores, b, &distances)) / kSequences;
    for (double each : without) squares += (each - mean) * (each - mean);
    EXPECT_GT(share.error, 0);
    EXPECT_NEAR(share.error, std::sqrt(squares * (kSequences - 1) / kSequences), 1e-9);
}

TEST(Distance, ScoresAreOfOneDocument) {
    qn_plan_options options = inspected();
    options.documents = true;
    SmallModel m(with_groups(small_config("LlamaForCausalLM")), options);
    const Text text(m.config, true);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    const std::vector<Score> scores = all_scores(m, text, 2);
    int64_t distances;
    const qn_lens_figure share = f.at("position_share", 1, 2);
    EXPECT_NEAR(share.value, share_of(scores, -1, &distances), 1e-9);
    EXPECT_EQ(share.n, (int64_t)scores.size());
    EXPECT_EQ(distances, 6);
}

TEST(Distance, TheDeviationOfScoresIsThatOfRows) {
    SmallModel m(with_groups(small_config("LlamaForCausalLM")), inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    std::map<std::pair<int64_t, int64_t>, std::vector<double>> rows;
    for (const Score &s : all_scores(m, text, 2)) rows[{s.sequence, s.row}].push_back(s.value);
    double sum = 0, n = 0;
    for (const auto &[place, row] : rows) {
        if (row.size() < 2) continue;
        double mean = 0, variance = 0;
        for (double s : row) mean += s / (double)row.size();
        for (double s : row) variance += (s - mean) * (s - mean) / (double)row.size();
        sum += variance, n++;
    }
    const qn_lens_figure deviation = f.at("score_deviation", 1, 2);
    EXPECT_NEAR(deviation.value, std::sqrt(sum / n), 1e-9);
    EXPECT_EQ(deviation.n, (int64_t)n);
}

TEST(Distance, OneSequenceHasNoError) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(1, kLength, QN_PLAN_INSPECT));
    const reference::Batch batch = random_batch(m.config, 1, kLength, 3, 0);
    const qn_batch seen = view(batch);
    const qn_probe_text text = {&seen, 1};
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text, &f.list));
    EXPECT_GT(f.value("position_share", 1, 0), 0);
    EXPECT_TRUE(std::isnan(f.at("position_share", 1, 0).error));
}

TEST(Distance, ModelsWithoutRotationHaveNoProfile) {
    SmallModel m(small_config("GPT2LMHeadModel"), inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_distance(m.model, &text.text, &f.list));
    int64_t distances;
    EXPECT_NEAR(f.value("position_share", 1, 0), share_of(all_scores(m, text, 0), -1, &distances),
                1e-9);
    EXPECT_TRUE(f.all("profile", 1, 0).empty());
}

} // namespace
