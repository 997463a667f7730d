// test_freeze.cc: parameters that stay as they are while everything else trains; steps on the
// backend that stores bf16 and in fp32.
#include "harness/small_model.h"
#include "harness/temp_dir.h"
#include "quern/checkpoint.h"
#include "quern/optimizer.h"
#include "quern/step.h"
#include "train/freeze.h"

namespace {

enum { kBatch = 2, kTokens = 12, kSteps = 3 };

// Of GPT-2's c_attn, (C,3C) and (3C), the first two thirds of the columns.
bool makes_q_or_k(const qn_param &p, int64_t element) {
    const std::string name = p.name;
    const int64_t columns = p.shape[p.rank - 1];
    if (name.find("c_attn.") != std::string::npos) return element % columns < columns / 3 * 2;
    for (const char *part : {"q_proj.", "k_proj.", "q_norm.", "k_norm."})
        if (name.find(part) != std::string::npos) return true;
    return false;
}

// Elements of a parameter that make q and k, or that do not.
std::vector<float> part(const std::vector<float> &flat, const qn_param &p, bool of_q_or_k) {
    std::vector<float> found;
    for (int64_t at = 0; at < p.count; at++)
        if (makes_q_or_k(p, at) == of_q_or_k) found.push_back(flat[p.offset + at]);
    return found;
}

void cover(const qn_param_part &part, std::vector<int> &covered) {
    for (int64_t row = 0; row < part.rows; row++)
        for (int64_t at = 0; at < part.count; at++) covered[part.offset + row * part.stride + at]++;
}

// ---- what is frozen ------------------------------------------------------------------------

class Parts : public testing::TestWithParam<const char *> {};

INSTANTIATE_TEST_SUITE_P(Families, Parts,
                         testing::Values("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
                                         "GPT2LMHeadModel"));

// Each element trains, or is of what makes q and k: never both, and none is left out.
TEST_P(Parts, AreAllThatIsNotFrozen) {
    const std::string family = GetParam();
    const qn_config small = small_config(GetParam());
    const qn_config config =
        family == "GPT2LMHeadModel" ? small : with_odd_widths(with_groups(small));
    qn_params params;
    ASSERT_OK(qn_params_make(&config, &params));
    qn_param_part *parts;
    int count;
    ASSERT_OK(qn_trained_parts(&params, QN_FREEZE_QK, &parts, &count));
    EXPECT_GT(count, (int)config.n_layers);
    EXPECT_LE(count, params.count);
    std::vector<int> covered((size_t)params.n_elements), of_params(covered), frozen(covered);
    for (int i = 0; i < count; i++) {
        EXPECT_GE(parts[i].offset, i ? parts[i - 1].offset + 1 : 0);
        cover(parts[i], covered);
    }
    for (int i = 0; i < params.count; i++) {
        const qn_param &p = params.items[i];
        cover(qn_frozen_part(QN_FREEZE_QK, &p), frozen);
        cover(qn_trained_part(QN_FREEZE_QK, &p), of_params);
        for (int64_t at = 0; at < p.count; at++) {
            EXPECT_EQ(frozen[p.offset + at], (int)makes_q_or_k(p, at)) << p.name << " " << at;
            EXPECT_EQ(of_params[p.offset + at], (int)!makes_q_or_k(p, at)) << p.name << " " << at;
        }
    }
    for (size_t i = 0; i < covered.size(); i++) EXPECT_EQ(covered[i] + frozen[i], 1) << i;
    free(parts);
    qn_params_free(&params);
}

TEST_P(Parts, OfNothingFrozenAreOne) {
    const qn_config config = small_config(GetParam());
    qn_params params;
    ASSERT_OK(qn_params_make(&config, &params));
    qn_param_part *parts;
    int count;
    ASSERT_OK(qn_trained_parts(&params, QN_FREEZE_NONE, &parts, &count));
    ASSERT_EQ(count, 1);
    EXPECT_EQ(parts[0].offset, 0);
    EXPECT_EQ(parts[0].rows, 1);
    EXPECT_EQ(parts[0].count, params.n_elements);
    free(parts);
    qn_params_free(&params);
}

// ---- steps ----------------------------------------------------------------------------------

struct Case {
    const char *name, *architecture;
    bool stored_in_bf16;
    qn_weight_rounding rounding;
    int accum;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class Frozen : public testing::TestWithParam<Case> {
  protected:
    Frozen() : config(small_config(GetParam().architecture)) {
        if (config.arch != QN_ARCH_GPT2) config = with_groups(config);
        plan = small_options(kBatch, kTokens);
        if (GetParam().stored_in_bf16) plan = bf16_storage(plan);
        plan.grad_accum = GetParam().accum;
        plan.deterministic = true;
        qn_options_default(&options);
        options.batch_size = kBatch;
        options.seq_len = kTokens;
        options.grad_accum = GetParam().accum;
        options.weight_rounding = GetParam().rounding;
        options.weight_decay = 0.1;
        options.freeze = QN_FREEZE_QK;
        EXPECT_OK(qn_optimizer_check(&plan, &options));
        EXPECT_OK(qn_comm_open(&comm));
    }
    ~Frozen() override { comm->ops->close(comm); }

    // Steps first … last; the norms that they report.
    std::vector<double> take(SmallModel &m, int first, int last) {
        qn_stepper *stepper;
        EXPECT_OK(qn_stepper_open(m.model, &options, options.seq_len, comm, &stepper));
        std::vector<double> norms;
        for (int step = first; step <= last; step++) {
            for (int g = 0; g < options.grad_accum; g++) {
                int32_t *tokens, *targets, *doc_start;
                const reference::Batch b = random_batch(config, kBatch, kTokens, 100 * step + g);
                EXPECT_OK(qn_stepper_input(stepper, &tokens, &targets, &doc_start));
                std::copy(b.tokens.begin(), b.tokens.end(), tokens);
                std::copy(b.targets.begin(), b.targets.end(), targets);
                EXPECT_OK(qn_stepper_pass(stepper, g, step, 3e-3));
            }
            double loss;
            norms.push_back(NAN);
            EXPECT_OK(qn_stepper_result(stepper, &loss, &norms.back()));
            EXPECT_TRUE(std::isfinite(loss));
        }
        qn_stepper_close(stepper);
        return norms;
    }
    std::vector<qn_buffer_id> state() const {
        std::vector<qn_buffer_id> ids = {QN_BUF_PARAMS, QN_BUF_ADAM_M, QN_BUF_ADAM_V};
        if (GetParam().stored_in_bf16) ids.push_back(QN_BUF_WEIGHTS);
        return ids;
    }

    qn_config config;
    qn_plan_options plan;
    qn_train_options options;
    qn_comm *comm;
};

INSTANTIATE_TEST_SUITE_P(
    Models, Frozen,
    testing::Values(Case{"gpt2", "GPT2LMHeadModel", false, QN_ROUND_NEAREST, 1},
                    Case{"gpt2_bf16", "GPT2LMHeadModel", true, QN_ROUND_STOCHASTIC, 2},
                    Case{"llama", "LlamaForCausalLM", false, QN_ROUND_NEAREST, 2},
                    Case{"qwen2", "Qwen2ForCausalLM", true, QN_ROUND_NEAREST, 1},
                    Case{"qwen3", "Qwen3ForCausalLM", true, QN_ROUND_STOCHASTIC, 2}),
    [](const auto &info) { return info.param.name; });

// Not a bit of them moves, nor of their moments and their working copy; of all others each does.
TEST_P(Frozen, OnlyTheRestTrains) {
    SmallModel m(config, plan);
    std::vector<std::vector<float>> before, after;
    for (qn_buffer_id id : state()) before.push_back(m.buffer(id));
    take(m, 1, kSteps);
    for (qn_buffer_id id : state()) after.push_back(m.buffer(id));
    for (size_t b = 0; b < before.size(); b++)
        for (int i = 0; i < m.params()->count; i++) {
            const qn_param &p = m.params()->items[i];
            EXPECT_EQ(part(after[b], p, true), part(before[b], p, true)) << p.name << " " << b;
            const std::vector<float> rest = part(before[b], p, false);
            EXPECT_TRUE(rest.empty() || part(after[b], p, false) != rest) << p.name << " " << b;
        }
}

// Clipping goes by what trains, although gradients of the rest are there.
TEST_P(Frozen, TheNormIsOfWhatTrains) {
    SmallModel m(config, plan);
    const double norm = take(m, 1, kSteps).back();
    const std::vector<float> grads = m.buffer(QN_BUF_GRADS);
    double trained = 0, frozen = 0;
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        for (float g : part(grads, p, true)) frozen += (double)g * g;
        for (float g : part(grads, p, false)) trained += (double)g * g;
    }
    EXPECT_GT(frozen, 1e-4 * trained);
    EXPECT_NEAR(norm, std::sqrt(trained), 1e-6 * norm);
    EXPECT_NEAR(std::sqrt(m.buffer(QN_BUF_GRAD_SUMSQ)[0]), norm, 1e-6 * norm);
}

// A run that goes on has the bits of one that was not interrupted: the working copy of what is
// frozen, too, which no stochastic rounding moves.
TEST_P(Frozen, GoesOnFromACheckpoint) {
    SmallModel whole(config, plan), first(config, plan), second(config, plan, 99);
    take(whole, 1, 2 * kSteps);
    take(first, 1, kSteps);
    TempDir dir;
    qn_train_state at = {};
    at.step = kSteps;
    ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), first.model, &at, nullptr, 1, 0));
    const std::string path = dir / ("checkpoints/step-" + std::to_string(kSteps));
    ASSERT_OK(qn_checkpoint_load(path.c_str(), second.model));
    ASSERT_OK(qn_optimizer_resume(second.model, &options, kSteps));
    for (qn_buffer_id id : state()) EXPECT_EQ(second.buffer(id), first.buffer(id)) << id;
    take(second, kSteps + 1, 2 * kSteps);
    for (qn_buffer_id id : state()) EXPECT_EQ(second.buffer(id), whole.buffer(id)) << id;
}

} // namespace
