// test_odd_vocabulary.cc: a vocabulary that is no multiple of 64 has rows of no word behind its
// tables. They stay zero, no file has them, and no such word is ever drawn.
#include <algorithm>

#include "harness/small_model.h"
#include "harness/temp_dir.h"
#include "quern/checkpoint.h"
#include "quern/optimizer.h"
#include "quern/safetensors.h"
#include "quern/train.h"

namespace {

struct Case {
    const char *name;
    qn_config config;
    qn_dtype storage;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

const qn_buffer_id kFlat[] = {QN_BUF_PARAMS, QN_BUF_WEIGHTS, QN_BUF_GRADS, QN_BUF_ADAM_M,
                              QN_BUF_ADAM_V};
constexpr int64_t kBatch = 2, kTokens = 8;

class Trainee {
  public:
    explicit Trainee(const Case &c, uint64_t seed = 7) : m(c.config, options(c), seed) {
        qn_options_default(&train_options);
        if (c.storage == QN_BF16) train_options.weight_rounding = QN_ROUND_STOCHASTIC;
        train_options.weight_decay = 0.1;
        EXPECT_OK(qn_optimizer_open(m.model, &train_options, &optimizer));
    }
    ~Trainee() { qn_optimizer_close(&optimizer); }

    static qn_plan_options options(const Case &c, qn_plan_mode mode = QN_PLAN_TRAIN) {
        qn_plan_options o = small_options(kBatch, kTokens, mode);
        o.deterministic = true;
        return c.storage == QN_BF16 ? bf16_storage(o) : o;
    }

    // The losses of steps [first, first + count), one of whose targets in four is ignored.
    std::vector<double> train(int64_t first, int64_t count) {
        std::vector<double> losses;
        for (int64_t step = first; step < first + count; step++) {
            losses.push_back(m.step(random_batch(m.config, kBatch, kTokens, (uint32_t)step, 4)));
            qn_optimizer_schedule(&optimizer, step, 1e-2);
            EXPECT_OK(qn_optimizer_update(&optimizer));
        }
        return losses;
    }

    // What a step leaves behind, bit for bit.
    std::vector<std::vector<float>> state() const {
        std::vector<std::vector<float>> all;
        for (qn_buffer_id id : kFlat)
            all.push_back(qn_model_buffer(m.model, id) ? m.buffer(id) : std::vector<float>());
        return all;
    }

    SmallModel m;
    qn_train_options train_options;

  private:
    qn_optimizer optimizer;
};

std::vector<const qn_param *> tables(const SmallModel &m) {
    std::vector<const qn_param *> found;
    for (qn_role role : {QN_WTE, QN_LM_HEAD_W})
        if (const qn_param *p = qn_params_find(m.params(), role, -1)) found.push_back(p);
    return found;
}

class OddVocabulary : public testing::TestWithParam<Case> {
  protected:
    TempDir dir;
};

INSTANTIATE_TEST_SUITE_P(
    Models, OddVocabulary,
    testing::Values(Case{"gpt2_fp32", small_config("GPT2LMHeadModel"), QN_F32},
                    Case{"gpt2_bf16", small_config("GPT2LMHeadModel"), QN_BF16},
                    Case{"untied_fp32", untied(small_config("LlamaForCausalLM")), QN_F32},
                    Case{"untied_bf16", untied(small_config("LlamaForCausalLM")), QN_BF16}),
    [](const auto &info) { return info.param.name; });

TEST_P(OddVocabulary, RowsOfNoWordStayZero) {
    Trainee t(GetParam());
    ASSERT_TRUE(t.m.model);
    t.train(1, 3);
    const std::vector<std::vector<float>> state = t.state();
    for (const qn_param *table : tables(t.m)) {
        const int64_t C = table->shape[1], end = qn_table_rows(table->shape[0]) * C;
        ASSERT_EQ(end, 64 * C);
        for (size_t i = 0; i < state.size(); i++) {
            if (state[i].empty()) continue;
            const float *rows = state[i].data() + table->offset;
            EXPECT_LT(std::count(rows, rows + table->count, 0), table->count) << table->name;
            for (int64_t j = table->count; j < end; j++)
                EXPECT_EQ(rows[j], 0) << table->name << ", array " << i << ", " << j;
        }
    }
}

// Of the shapes that Hugging Face's class has, whatever the flat arrays hold between them.
TEST_P(OddVocabulary, FilesHoldParametersOnly) {
    Trainee t(GetParam());
    ASSERT_TRUE(t.m.model);
    const qn_train_state state = {};
    ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), t.m.model, &state, nullptr, 1, 0));
    for (std::string name : {"model", "optimizer"}) {
        qn_safetensors *file = nullptr;
        const std::string path = dir / "checkpoints/step-0/" + name + ".safetensors";
        ASSERT_OK(qn_safetensors_open(path.c_str(), &file));
        int64_t elements = 0;
        qn_tensor tensor;
        for (int i = 0; i < qn_safetensors_count(file); i++) {
            const std::string key = qn_safetensors_name(file, i);
            ASSERT_TRUE(qn_safetensors_find(file, key.c_str(), &tensor));
            elements += qn_tensor_numel(&tensor);
            for (const qn_param *table : tables(t.m)) {
                if (key.find(table->name) == std::string::npos) continue;
                EXPECT_EQ(tensor.shape[0], 61) << path << ", " << key;
            }
        }
        EXPECT_EQ(elements, t.m.params()->n_params * (name == "model" ? 1 : 2));
        qn_safetensors_close(file);
    }
}

TEST_P(OddVocabulary, ResumesBitForBit) {
    Trainee whole(GetParam()), first(GetParam()), rest(GetParam(), 99);
    ASSERT_TRUE(whole.m.model && first.m.model && rest.m.model);
    const std::vector<double> losses = whole.train(1, 4);
    first.train(1, 2);
    const qn_train_state state = {};
    ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), first.m.model, &state, nullptr, 1, 0));
    ASSERT_OK(qn_checkpoint_load((dir / "checkpoints/step-0").c_str(), rest.m.model));
    ASSERT_OK(qn_optimizer_resume(rest.m.model, &rest.train_options, 2));
    EXPECT_EQ(rest.train(3, 2), std::vector<double>(losses.begin() + 2, losses.end()));
    EXPECT_EQ(rest.state(), whole.state());
}

// Between the CPU and the backend that stores bf16.
TEST_P(OddVocabulary, CheckpointsOfOneBackendLoadOnTheOther) {
    Case other = GetParam();
    other.storage = other.storage == QN_BF16 ? QN_F32 : QN_BF16;
    Trainee from(GetParam()), to(other, 99);
    ASSERT_TRUE(from.m.model && to.m.model);
    from.train(1, 1);
    to.train(1, 1);
    const qn_train_state state = {};
    ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), from.m.model, &state, nullptr, 1, 0));
    ASSERT_OK(qn_checkpoint_load((dir / "checkpoints/step-0").c_str(), to.m.model));
    for (qn_buffer_id id : {QN_BUF_PARAMS, QN_BUF_ADAM_M, QN_BUF_ADAM_V})
        EXPECT_EQ(to.m.buffer(id), from.m.buffer(id)) << id;
}

// ---- generation -----------------------------------------------------------------------------

// A model that says the opposite of what it read, so that the logits of all words are negative,
// and those of no words, 0, would be the most probable.
void make_negative(SmallModel &m) {
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        float value = 0;
        if (p.role == QN_WTE || p.role == QN_LM_HEAD_W) value = 1;
        if (p.role == QN_FINAL_NORM_W) value = -1;
        std::vector<float> values((size_t)p.count, value);
        if (p.role == QN_FINAL_NORM_B) values.assign((size_t)p.count, -1); // LayerNorm of ones is 0
        m.set_param(p, values);
    }
}

bool note(void *tokens, int32_t token) {
    ((std::vector<int32_t> *)tokens)->push_back(token);
    return true;
}

TEST_P(OddVocabulary, LogitsAreThoseOfWords) {
    SmallModel m(GetParam().config, Trainee::options(GetParam(), QN_PLAN_GENERATE));
    ASSERT_TRUE(m.model);
    make_negative(m);
    const size_t count = (size_t)(kBatch * m.config.vocab_size);
    std::vector<float> logits(count + 8, 1e9f);
    ASSERT_OK(
        qn_model_extend(m.model, std::vector<int32_t>(kBatch, 60).data(), 0, 1, logits.data()));
    for (size_t i = 0; i < logits.size(); i++)
        EXPECT_TRUE(i < count ? logits[i] < -1 : logits[i] == 1e9f) << i << ": " << logits[i];
}

TEST_P(OddVocabulary, NoWordBeyondItIsDrawn) {
    qn_plan_options o = Trainee::options(GetParam(), QN_PLAN_GENERATE);
    o.batch_size = 1;
    SmallModel m(GetParam().config, o);
    ASSERT_TRUE(m.model);
    make_negative(m);
    for (double temperature : {0.0, 1.0}) {
        const qn_sampling sampling = {temperature, 0, 1, 5, 0};
        std::vector<int32_t> tokens;
        const int32_t prompt = 60;
        ASSERT_OK(qn_generate(m.model, &prompt, 1, 6, &sampling, note, &tokens));
        EXPECT_EQ(tokens.size(), 6u);
        for (int32_t token : tokens) EXPECT_LT(token, 61);
    }
}

} // namespace
