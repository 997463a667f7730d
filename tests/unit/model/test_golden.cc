// test_golden.cc: losses, logits and gradients against those that `transformers` computed
// (tests/golden, made by scripts/make_golden.py).
#include <cfloat>
#include <filesystem>

#include "base/json.h"
#include "harness/small_model.h"
#include "harness/temp_dir.h"

namespace {

// What a file of tests/golden holds; see the script.
struct Golden {
    qn_config config;
    uint64_t seed;
    reference::Batch batch; // (B,T): inputs and the tokens after them
    double loss;
    std::vector<std::vector<double>> logits; // (B,V) at the last position
    std::map<std::string, std::vector<double>> gradients;
};

std::vector<double> numbers(const json_t *array) {
    std::vector<double> out;
    for (size_t i = 0; i < json_array_size(array); i++)
        out.push_back(json_number_value(json_array_get(array, i)));
    return out;
}

reference::Batch next_token_batch(const json_t *sequences) {
    reference::Batch batch = {(int64_t)json_array_size(sequences), 0, {}, {}, {}};
    for (int64_t b = 0; b < batch.n_sequences; b++) {
        const std::vector<double> ids = numbers(json_array_get(sequences, b));
        batch.seq_len = (int64_t)ids.size() - 1;
        batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end() - 1);
        batch.targets.insert(batch.targets.end(), ids.begin() + 1, ids.end());
    }
    return batch;
}

Golden load(const std::string &name) {
    Golden golden = {};
    json_t *root = nullptr;
    const std::string path = QN_TESTS_DIR "/golden/" + name + ".json";
    EXPECT_OK(qn_json_load(path.c_str(), &root));
    TempDir dir;
    const std::string config = dir / "config.json";
    EXPECT_EQ(json_dump_file(json_object_get(root, "config"), config.c_str(), 0), 0);
    EXPECT_OK(qn_config_load(config.c_str(), &golden.config));
    golden.seed = (uint64_t)json_integer_value(json_object_get(root, "seed"));
    golden.batch = next_token_batch(json_object_get(root, "tokens"));
    golden.loss = json_number_value(json_object_get(root, "loss"));
    const json_t *logits = json_object_get(root, "logits");
    for (size_t b = 0; b < json_array_size(logits); b++)
        golden.logits.push_back(numbers(json_array_get(logits, b)));
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(root, "gradients"), key, value) {
        golden.gradients[key] = numbers(value);
    }
    json_decref(root);
    return golden;
}

// Both sides round: quern in fp32, transformers in its norms, angles and softmax. Largest seen:
// 17 epsilons.
double rounding(double scale) { return 48 * FLT_EPSILON * scale; }

class GoldenModel : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override { golden = load(GetParam()); }
    qn_plan_options options(qn_plan_mode mode) const {
        return small_options(golden.batch.n_sequences, golden.batch.seq_len, mode);
    }
    Golden golden;
};

INSTANTIATE_TEST_SUITE_P(Transformers, GoldenModel,
                         testing::Values("llama", "llama_tied_groups", "mistral", "qwen2", "qwen3",
                                         "gpt2"),
                         [](const auto &info) { return std::string(info.param); });

TEST_P(GoldenModel, LossAndGradients) {
    SmallModel m(golden.config, options(QN_PLAN_TRAIN), golden.seed);
    ASSERT_TRUE(m.model);
    const double loss = m.step(golden.batch) / (double)golden.batch.targets.size();
    EXPECT_NEAR(loss, golden.loss, rounding(golden.loss));

    const std::vector<float> grads = m.buffer(QN_BUF_GRADS);
    ASSERT_EQ((size_t)m.params()->count, golden.gradients.size());
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        ASSERT_TRUE(golden.gradients.count(p.name)) << p.name;
        const double length = golden.gradients[p.name].at(0);
        double squares = 0, product = 0;
        for (int64_t j = 0; j < p.count; j++) {
            const double g = grads[p.offset + j];
            squares += g * g;
            product += g * std::cos((double)j);
        }
        EXPECT_NEAR(std::sqrt(squares), length, rounding(length)) << p.name;
        EXPECT_NEAR(product, golden.gradients[p.name].at(1), rounding(length)) << p.name;
    }
}

TEST_P(GoldenModel, Logits) {
    SmallModel m(golden.config, options(QN_PLAN_GENERATE), golden.seed);
    ASSERT_TRUE(m.model);
    const int64_t B = golden.batch.n_sequences, V = golden.config.vocab_size;
    std::vector<float> logits(B * V);
    ASSERT_OK(qn_model_extend(m.model, golden.batch.tokens.data(), 0, golden.batch.seq_len,
                              logits.data()));
    for (int64_t b = 0; b < B; b++)
        for (int64_t v = 0; v < V; v++)
            EXPECT_NEAR(logits[b * V + v], golden.logits[b][v], rounding(4));
}

} // namespace
