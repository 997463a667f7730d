// test_synonyms.cc: words of planted and of no likeness, seen in q, k, rows of scores, embeddings.
#include <algorithm>
#include <cmath>
#include <set>

#include "figures.h"
#include "harness/small_model.h"
#include "lens/pair_sample.h"
#include "quern/activations.h"
#include "quern/probe.h"

namespace {

enum { kWords = 100, kSequences = 4, kLength = 40, kBatches = 12, kPairs = 25 };

qn_config words_config(const char *architecture) {
    qn_config c = small_config(architecture);
    c.vocab_size = kWords;
    return c;
}

class Text {
  public:
    explicit Text(const qn_config &config) {
        for (int i = 0; i < kBatches; i++)
            owned.push_back(random_batch(config, kSequences, kLength, (uint32_t)i + 1, 9));
        for (const reference::Batch &b : owned) batches.push_back(view(b));
    }
    qn_probe_text text() const { return {batches.data(), (int64_t)batches.size()}; }

    // Makes padding of a token's occurrences behind the n-th.
    void keep_occurrences(int32_t token, int n) {
        for (reference::Batch &b : owned)
            for (size_t i = 0; i < b.tokens.size(); i++)
                if (b.tokens[i] == token && b.targets[i] >= 0 && n-- <= 0) b.targets[i] = -1;
    }

    std::vector<reference::Batch> owned;
    std::vector<qn_batch> batches;
};

std::vector<qn_word_pair> neighbours(int32_t first, int n) {
    std::vector<qn_word_pair> pairs;
    for (int32_t i = 0; i < n; i++) pairs.push_back({first + 2 * i, first + 2 * i + 1});
    return pairs;
}

// Synonyms are tokens 0 and 1, 2 and 3, …; antonyms those behind them.
struct Probe {
    explicit Probe(const qn_config &config, uint64_t seed = 7)
        : m(config, small_options(kSequences, kLength, QN_PLAN_INSPECT), seed), text(config),
          synonyms(neighbours(0, kPairs)), antonyms(neighbours(2 * kPairs, kPairs)) {}

    std::vector<float> table() {
        std::vector<float> values(wte()->count);
        EXPECT_OK(qn_model_read_param(m.model, wte(), values.data()));
        return values;
    }
    const qn_param *wte() { return qn_params_find(m.params(), QN_WTE, -1); }

    // Gives both words of each synonym pair one embedding.
    void plant() {
        std::vector<float> values = table();
        const int64_t C = m.config.hidden_size;
        for (const qn_word_pair &p : synonyms) std::copy_n(&values[p.a * C], C, &values[p.b * C]);
        ASSERT_OK(qn_model_write_param(m.model, wte(), values.data()));
    }
    void run(Figures &figures, uint64_t seed = 1) {
        const qn_probe_text t = text.text();
        const qn_word_pairs s = {synonyms.data(), (int64_t)synonyms.size()};
        const qn_word_pairs a = {antonyms.data(), (int64_t)antonyms.size()};
        ASSERT_OK(qn_probe_synonyms(m.model, &t, &s, &a, seed, &figures.list));
    }

    SmallModel m;
    Text text;
    std::vector<qn_word_pair> synonyms, antonyms;
};

const char *const kKinds[] = {"q", "k", "row"};

struct Case {
    const char *name;
    qn_config config;
};
void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class Planted : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Models, Planted,
    testing::Values(Case{"Llama", words_config("LlamaForCausalLM")},
                    Case{"Groups", with_groups(words_config("LlamaForCausalLM"))},
                    Case{"NormedQK", words_config("Qwen3ForCausalLM")},
                    Case{"OddWidths", with_odd_widths(words_config("LlamaForCausalLM"))}),
    [](const auto &info) { return info.param.name; });

// In the first layer q and k are functions of the token and its position, which is undone.
TEST_P(Planted, EqualEmbeddingsAreOneDirection) {
    Probe probe(GetParam().config);
    probe.plant();
    Figures f;
    probe.run(f);
    EXPECT_EQ(f.list.count, 5 * (1 + 3 * 2 * 4) + 20 * (1 + 2 * 2))
        << "each metric of the model and of every head, and bins of the model and of layers";
    EXPECT_NEAR(f.value("embedding_synonym_cosine", -1), 1, 1e-12);
    EXPECT_GT(f.value("embedding_synonym_auc", -1), 0.99);
    for (const std::string kind : kKinds)
        for (int64_t h = 0; h < 4; h++) {
            EXPECT_NEAR(f.value(kind + "_synonym_cosine", 0, h), 1, 1e-5) << kind << h;
            EXPECT_GT(f.value(kind + "_synonym_auc", 0, h), 0.97) << kind << h;
            EXPECT_EQ(f.at(kind + "_synonym_auc", 0, h).n, kPairs);
            EXPECT_EQ(f.at(kind + "_synonym_auc", 0, h).baseline, 0.5);
            EXPECT_LT(std::fabs(f.at(kind + "_synonym_cosine", 0, h).baseline), 0.3);
        }
}

TEST_P(Planted, ControlsAreNotCloser) {
    Probe probe(GetParam().config);
    probe.plant();
    Figures f;
    probe.run(f);
    for (const std::string metric : {"_antonym_auc", "_shuffled_auc"}) {
        int far = 0;
        for (const std::string kind : kKinds)
            for (int64_t h = 0; h < 4; h++) {
                const qn_lens_figure x = f.at(kind + metric, 0, h);
                far += std::fabs(x.value - 0.5) > 2.5 * x.error;
                EXPECT_NEAR(x.value, 0.5, 4 * x.error) << kind << metric << h;
                EXPECT_GT(x.n, kPairs / 2);
            }
        EXPECT_LE(far, 2) << metric << " of 12";
    }
}

// Of pairs that mean nothing, over models: z is of spread 1, and the mean is no other than 0.5.
TEST(Synonyms, HistogramsAreOfTheSameCosines) {
    Probe probe(with_groups(words_config("LlamaForCausalLM")));
    probe.plant();
    Figures f;
    probe.run(f);
    const double kHalfBin = 0.05 + 1e-12;
    const std::string names[] = {"embedding_synonym_", "q_synonym_", "k_synonym_"};
    for (const std::string &name : names) {
        const int64_t layer = name[0] == 'e' ? -1 : 1, heads = layer < 0 ? 0 : 4;
        double synonyms = 0, matched = 0, mean = 0, centre = 0, baseline = 0, other = 0;
        for (const qn_lens_figure &bin : f.all((name + "bin").c_str(), layer, -1)) {
            const double cosine = ((double)bin.at + 0.5) / 10 - 1;
            synonyms += bin.value, matched += bin.baseline;
            centre += bin.value * cosine, other += bin.baseline * cosine;
        }
        for (int64_t h = heads ? 0 : -1; h < heads; h++) {
            const qn_lens_figure of_head = f.at((name + "cosine").c_str(), layer, h);
            mean += of_head.value / (double)std::max<int64_t>(heads, 1);
            baseline += of_head.baseline / (double)std::max<int64_t>(heads, 1);
        }
        EXPECT_NEAR(synonyms, 1, 1e-12) << name;
        EXPECT_NEAR(matched, 1, 1e-12) << name;
        EXPECT_NEAR(centre, mean, kHalfBin) << name;
        EXPECT_NEAR(other, baseline, kHalfBin) << name;
    }
}

TEST(Synonyms, PairsAtRandomAreAtChance) {
    double sum = 0, squares = 0;
    int n = 0, far = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        Probe probe(words_config("LlamaForCausalLM"), seed);
        Figures f;
        probe.run(f, seed);
        for (const std::string kind : kKinds)
            for (int64_t h = 0; h < 4; h++) {
                const qn_lens_figure x = f.at(kind + "_synonym_auc", 1, h);
                const double z = (x.value - 0.5) / x.error;
                sum += z;
                squares += z * z;
                far += std::fabs(z) > 2.5;
                n++;
            }
    }
    EXPECT_NEAR(sum / n, 0, 0.25);
    EXPECT_GT(std::sqrt(squares / n), 0.85);
    EXPECT_LT(std::sqrt(squares / n), 1.2);
    EXPECT_LE(far, n / 25);
}

// What all words have in common is no likeness: without centring all cosines were near 1.
TEST(Synonyms, CommonOffsetsDoNotCount) {
    Probe probe(words_config("Qwen2ForCausalLM"));
    std::vector<float> values = probe.table();
    for (float &x : values) x += 3;
    ASSERT_OK(qn_model_write_param(probe.m.model, probe.wte(), values.data()));
    for (qn_role role : {QN_Q_B, QN_K_B}) {
        const qn_param *bias = qn_params_find(probe.m.params(), role, 0);
        ASSERT_OK(
            qn_model_write_param(probe.m.model, bias, std::vector<float>(bias->count, 30).data()));
    }
    Figures f;
    probe.run(f);
    for (const char *metric : {"embedding_synonym_cosine", "embedding_antonym_cosine"}) {
        EXPECT_LT(std::fabs(f.value(metric, -1)), 0.2);
        EXPECT_LT(std::fabs(f.at(metric, -1).baseline), 0.1);
    }
    for (const std::string kind : kKinds)
        for (int64_t h = 0; h < 4; h++)
            EXPECT_LT(std::fabs(f.at(kind + "_synonym_cosine", 0, h).baseline), 0.2) << kind;
}

// (Wq, Wk) → (M·Wq, M⁻ᵀ·Wk), with a diagonal M of powers of two that is equal on what is rotated
// together: the model is the same to the bit.
TEST(Synonyms, RowsDoNotDependOnTheBasisOfAHead) {
    Probe probe(words_config("LlamaForCausalLM"));
    Figures before, after;
    probe.run(before);
    const float scales[4] = {16, 1, 0.25f, 2};
    for (qn_role role : {QN_Q_W, QN_K_W}) {
        const qn_param *p = qn_params_find(probe.m.params(), role, 0);
        std::vector<float> w(p->count);
        ASSERT_OK(qn_model_read_param(probe.m.model, p, w.data()));
        for (int64_t i = 0; i < p->count; i++) {
            const float scale = scales[i / p->shape[1] % 8 % 4];
            w[i] *= role == QN_Q_W ? scale : 1 / scale;
        }
        ASSERT_OK(qn_model_write_param(probe.m.model, p, w.data()));
    }
    probe.run(after);
    for (int64_t h = 0; h < 4; h++) {
        EXPECT_NEAR(after.value("row_synonym_cosine", 0, h),
                    before.value("row_synonym_cosine", 0, h), 1e-12);
        EXPECT_NEAR(after.value("row_synonym_auc", 0, h), before.value("row_synonym_auc", 0, h),
                    1e-12);
        EXPECT_GT(
            std::fabs(after.value("q_synonym_auc", 0, h) - before.value("q_synonym_auc", 0, h)),
            1e-3)
            << "q itself does";
    }
}

TEST(Synonyms, HeadsOfAGroupHaveOneK) {
    Probe probe(with_groups(words_config("LlamaForCausalLM")));
    Figures f;
    probe.run(f);
    for (const char *metric : {"k_synonym_cosine", "k_synonym_auc"}) {
        EXPECT_EQ(f.value(metric, 1, 0), f.value(metric, 1, 1));
        EXPECT_EQ(f.value(metric, 1, 2), f.value(metric, 1, 3));
        EXPECT_NE(f.value(metric, 1, 1), f.value(metric, 1, 2));
    }
    EXPECT_NE(f.value("q_synonym_cosine", 1, 0), f.value("q_synonym_cosine", 1, 1));
}

// Learned positions are part of the input, not of the rotation.
TEST(Synonyms, ModelsWithoutRotationAreReadAsTheyAre) {
    Probe probe(words_config("GPT2LMHeadModel"));
    const qn_param *wpe = qn_params_find(probe.m.params(), QN_WPE, -1);
    ASSERT_OK(qn_model_write_param(probe.m.model, wpe, std::vector<float>(wpe->count, 0).data()));
    probe.plant();
    Figures f;
    probe.run(f);
    for (const std::string kind : kKinds)
        for (int64_t h = 0; h < 4; h++)
            EXPECT_NEAR(f.value(kind + "_synonym_cosine", 0, h), 1, 1e-5) << kind;
}

TEST(Synonyms, TheSeedDecidesTheMatchesAlone) {
    Probe probe(words_config("LlamaForCausalLM"));
    Figures one, again, other;
    probe.run(one, 1);
    probe.run(again, 1);
    probe.run(other, 2);
    EXPECT_EQ(one.value("q_synonym_auc", 1, 2), again.value("q_synonym_auc", 1, 2));
    EXPECT_NE(one.value("q_synonym_auc", 1, 2), other.value("q_synonym_auc", 1, 2));
    EXPECT_EQ(one.value("q_synonym_cosine", 1, 2), other.value("q_synonym_cosine", 1, 2));
}

TEST(Synonyms, FewPairsAreNoFigure) {
    Probe probe(words_config("LlamaForCausalLM"));
    probe.synonyms.resize(7);
    probe.antonyms.clear();
    Figures f;
    probe.run(f);
    EXPECT_EQ(f.at("q_synonym_auc", 0, 0).n, 7);
    EXPECT_EQ(f.at("q_antonym_cosine", 0, 0).n, 0);
    for (const char *metric : {"q_synonym_auc", "q_synonym_cosine", "q_antonym_cosine",
                               "q_antonym_auc", "q_shuffled_auc"}) {
        EXPECT_TRUE(std::isnan(f.value(metric, 0, 0))) << metric;
        EXPECT_TRUE(std::isnan(f.at(metric, 0, 0).error)) << metric;
    }
}

TEST(Synonyms, RareWordsAndPaddingAreLeftOut) {
    Probe probe(words_config("LlamaForCausalLM"));
    probe.text.keep_occurrences(0, 4);
    probe.text.keep_occurrences(2, 5);
    Figures f;
    probe.run(f);
    EXPECT_EQ(f.at("q_synonym_auc", 0, 0).n, kPairs - 1);
}

TEST(Synonyms, IdsOutsideTheVocabularyAreRefused) {
    Probe probe(words_config("LlamaForCausalLM"));
    const qn_probe_text t = probe.text.text();
    const qn_word_pairs none = {nullptr, 0};
    Figures f;
    for (qn_word_pair bad : {qn_word_pair{0, kWords}, qn_word_pair{-1, 1}, qn_word_pair{3, 3}}) {
        const qn_word_pairs pairs = {&bad, 1};
        EXPECT_ERROR(qn_probe_synonyms(probe.m.model, &t, &pairs, &none, 1, &f.list),
                     QN_CODE_INVALID, "pair 0");
        EXPECT_ERROR(qn_probe_synonyms(probe.m.model, &t, &none, &pairs, 1, &f.list),
                     QN_CODE_INVALID, "below 100");
    }
}

// ---- the pairs ----------------------------------------------------------------------------------

TEST(PairSample, MatchesAreAsFrequentAndUnrelated) {
    Probe probe(words_config("LlamaForCausalLM"));
    for (int32_t token = 0; token < kWords; token += 3)
        probe.text.keep_occurrences(token, 5 + token % 20);
    probe.synonyms.push_back({0, 3});
    const qn_probe_text t = probe.text.text();
    const qn_word_pairs s = {probe.synonyms.data(), (int64_t)probe.synonyms.size()};
    const qn_word_pairs a = {probe.antonyms.data(), (int64_t)probe.antonyms.size()};
    qn_pair_sample sample;
    ASSERT_OK(qn_pair_sample_make(probe.m.model, &t, &s, &a, 5, &sample));
    const auto unlikeness = [&](int32_t word, int32_t other) {
        return std::abs(std::log((double)sample.counts[word] / (double)sample.counts[other]));
    };
    const auto nearer = [&](int32_t word, int32_t other) {
        int count = 0;
        for (int32_t w = 0; w < sample.n_words; w++)
            count += unlikeness(word, w) < unlikeness(word, other);
        return count;
    };
    const auto related = [](const qn_pair_set &set, qn_word_pair p) {
        for (int64_t i = 0; i < set.count; i++)
            if (std::minmax(set.items[i].a, set.items[i].b) == std::minmax(p.a, p.b)) return true;
        return false;
    };
    for (qn_pair_set_id id : {QN_SYNONYMS_MATCHED, QN_ANTONYMS_MATCHED, QN_SYNONYMS_REPAIRED})
        for (int64_t i = 0; i < sample.sets[id].count; i++) {
            const qn_word_pair p = sample.sets[id].items[i];
            EXPECT_NE(p.a, p.b);
            EXPECT_FALSE(related(sample.sets[QN_SYNONYMS], p));
            EXPECT_FALSE(related(sample.sets[QN_ANTONYMS], p));
        }
    const qn_pair_set &own = sample.sets[QN_SYNONYMS], &matched = sample.sets[QN_SYNONYMS_MATCHED];
    ASSERT_EQ(matched.count, own.count * QN_MATCHED_PER_PAIR);
    std::set<int32_t> partners;
    for (int64_t i = 0; i < matched.count; i++) {
        const qn_word_pair p = own.items[i / QN_MATCHED_PER_PAIR], q = matched.items[i];
        EXPECT_LT(nearer(p.a, q.a), 16);
        EXPECT_LT(nearer(p.b, q.b), 16);
        partners.insert(q.a);
    }
    EXPECT_GT(partners.size(), 25u);
    const qn_pair_set &repaired = sample.sets[QN_SYNONYMS_REPAIRED];
    EXPECT_GT(repaired.count, own.count * 3 / 4);
    // A pair's second word had its place among eight whose frequencies follow each other.
    std::vector<int64_t> counts;
    for (int64_t i = 0; i < own.count; i++) counts.push_back(sample.counts[own.items[i].b]);
    std::sort(counts.begin(), counts.end());
    const auto between = [&](int32_t one, int32_t other) {
        const auto [low, high] = std::minmax(sample.counts[one], sample.counts[other]);
        return std::lower_bound(counts.begin(), counts.end(), high) -
               std::upper_bound(counts.begin(), counts.end(), low);
    };
    for (int64_t i = 0; i < repaired.count; i++) {
        const qn_word_pair p = repaired.items[i];
        int64_t fewest = own.count;
        for (int64_t j = 0; j < own.count; j++)
            if (own.items[j].a == p.a) fewest = std::min(fewest, between(own.items[j].b, p.b));
        EXPECT_LE(fewest, 6);
    }
    qn_pair_sample_free(&sample);
}

} // namespace
