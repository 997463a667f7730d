// test_storage_training.cc: training on a backend that stores bf16, step by step beside fp32.
#include "harness/small_model.h"
#include "harness/temp_dir.h"
#include "quern/checkpoint.h"
#include "quern/optimizer.h"
#include "quern/rounding.h"

namespace {

constexpr int64_t kBatch = 2, kTokens = 16;
constexpr int kSteps = 20;
// An emulated GPU takes a second a step.
#ifdef QN_TEST_EMULATED
constexpr int kPolicySteps = 2, kResumedSteps = 4;
const std::vector<uint64_t> kSeeds = {7};
#else
constexpr int kPolicySteps = kSteps, kResumedSteps = kSteps;
const std::vector<uint64_t> kSeeds = {7, 8};
#endif

struct Case {
    const char *name;
    qn_config config;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

// Training over one batch, which can be learnt by heart.
class Trainee {
  public:
    Trainee(const qn_config &config, const qn_plan_options &options, uint64_t seed = 7,
            qn_weight_rounding rounding = QN_ROUND_NEAREST)
        : m(config, options, seed), batch(random_batch(config, kBatch, kTokens, 1)) {
        qn_options_default(&train_options);
        train_options.weight_rounding = rounding;
        EXPECT_OK(qn_optimizer_check(&options, &train_options));
        train_options.weight_decay = 0.1;
        EXPECT_OK(qn_optimizer_open(m.model, &train_options, &optimizer));
    }
    ~Trainee() { qn_optimizer_close(&optimizer); }

    // The mean loss before each of `count` steps, the first of which is step `first`, and, on
    // the same parameters, that of the reference with everything rounded that is stored.
    std::vector<double> train(int64_t first, int64_t count, std::vector<double> *plain = nullptr) {
        std::vector<double> losses;
        for (int64_t step = first; step < first + count; step++) {
            if (plain) plain->push_back(plain_loss());
            losses.push_back(m.step(batch) / (double)(kBatch * kTokens));
            qn_optimizer_schedule(&optimizer, step, 3e-3);
            EXPECT_OK(qn_optimizer_update(&optimizer));
        }
        return losses;
    }

    SmallModel m;
    qn_train_options train_options;

  private:
    double plain_loss() const {
        reference::Weights weights = m.weights();
        for (auto &[name, values] : weights)
            for (double &x : values) x = qn_round_bf16((float)x);
        return reference::Transformer(m.config, weights, true).run(batch).sum /
               (double)(kBatch * kTokens);
    }

    reference::Batch batch;
    qn_optimizer optimizer;
};

double rms_difference(const std::vector<double> &x, const std::vector<double> &y) {
    double sum = 0;
    for (size_t i = 0; i < y.size(); i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return std::sqrt(sum / (double)y.size());
}

class StorageTraining : public testing::TestWithParam<Case> {
  protected:
    const qn_config &config() const { return GetParam().config; }
    static qn_plan_options options(qn_recompute recompute = QN_RECOMPUTE_NONE) {
        qn_plan_options o = small_options(kBatch, kTokens);
        o.recompute = recompute;
        o.deterministic = true; // runs are compared bit by bit
        return o;
    }
    std::vector<double> losses(const qn_plan_options &o, uint64_t seed = 7, int steps = kSteps) {
        return Trainee(config(), o, seed).train(1, steps);
    }
};

INSTANTIATE_TEST_SUITE_P(Models, StorageTraining,
                         testing::Values(Case{"llama", small_config("LlamaForCausalLM")},
                                         Case{"qwen3",
                                              with_groups(small_config("Qwen3ForCausalLM"))},
                                         Case{"gpt2", small_config("GPT2LMHeadModel")}),
                         [](const auto &info) { return info.param.name; });

// Two errors of plain computations in bf16 are measured: that of the loss at each of the
// parameters that fp32 passes through, with all rounded that is stored; and that of a run which
// rounds the operands of products, whose gradients lead elsewhere. Their squares add.
TEST_P(StorageTraining, LossesFollowFp32) {
    double error = 0, plain_error = 0;
    for (uint64_t seed : kSeeds) {
        std::vector<double> plain;
        const std::vector<double> exact =
            Trainee(config(), options(), seed).train(1, kSteps, &plain);
        EXPECT_LT(exact.back(), exact.front() - 1);
        error += rms_difference(losses(bf16_storage(options()), seed), exact);
        plain_error += std::hypot(rms_difference(plain, exact),
                                  rms_difference(losses(bf16_products(options()), seed), exact));
    }
    EXPECT_GT(error, 0);
    EXPECT_LE(error, 2 * plain_error);
}

TEST_P(StorageTraining, EveryRecomputationPolicy) {
    const std::vector<double> kept = losses(bf16_storage(options()), 7, kPolicySteps);
    for (qn_recompute policy : {QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK}) {
        const std::vector<double> again = losses(bf16_storage(options(policy)), 7, kPolicySteps);
        if (config().arch == QN_ARCH_GPT2 && policy == QN_RECOMPUTE_NORMS) {
            // GELU of what was rounded, where the forward pass had it unrounded.
            const std::vector<double> exact = losses(options(), 7, kPolicySteps);
            EXPECT_LE(rms_difference(again, exact), 2 * rms_difference(kept, exact));
        } else {
            EXPECT_EQ(again, kept) << policy;
        }
    }
}

// The update reaches the copy that the next step reads, and rounds the masters there.
TEST_P(StorageTraining, WorkingCopyFollowsTheMasters) {
    Trainee trainee(config(), bf16_storage(options()));
    trainee.train(1, 3);
    std::vector<float> masters = trainee.m.buffer(QN_BUF_PARAMS);
    EXPECT_NE(trainee.m.buffer(QN_BUF_WEIGHTS), masters);
    for (float &x : masters) x = qn_round_bf16(x);
    EXPECT_EQ(trainee.m.buffer(QN_BUF_WEIGHTS), masters);
}

TEST_P(StorageTraining, WorkingCopyRoundedStochastically) {
    Trainee trainee(config(), bf16_storage(options()), 7, QN_ROUND_STOCHASTIC);
    trainee.train(1, 3);
    std::vector<float> masters = trainee.m.buffer(QN_BUF_PARAMS), nearest(masters);
    for (size_t i = 0; i < masters.size(); i++) {
        nearest[i] = qn_round_bf16(masters[i]);
        masters[i] = qn_float_of_bf16(
            qn_bf16_stochastic_at(masters[i], (uint64_t)trainee.train_options.seed, 3, (int64_t)i));
    }
    EXPECT_NE(masters, nearest);
    EXPECT_EQ(trainee.m.buffer(QN_BUF_WEIGHTS), masters);
}

TEST(WeightRounding, StochasticNeedsSomethingToRound) {
    qn_train_options train;
    qn_options_default(&train);
    const qn_plan_options fp32 = small_options(kBatch, kTokens), products = bf16_products(fp32);
    EXPECT_OK(qn_optimizer_check(&fp32, &train));
    train.weight_rounding = QN_ROUND_STOCHASTIC;
    for (const qn_plan_options *plan : {&fp32, &products})
        EXPECT_ERROR(qn_optimizer_check(plan, &train), QN_CODE_USAGE, "--weight-rounding", "fp32",
                     "say --weight-rounding nearest");
    const qn_plan_options stored = bf16_storage(fp32);
    EXPECT_OK(qn_optimizer_check(&stored, &train));
}

// ---- checkpoints ------------------------------------------------------------------------------

class Resumed : public StorageTraining {
  protected:
    // Losses after half of the steps, of a run that goes on from a checkpoint of another.
    std::vector<double> resume(const qn_plan_options &from, const qn_plan_options &to,
                               qn_weight_rounding rounding = QN_ROUND_NEAREST) {
        TempDir dir;
        const std::string run = dir.path(),
                          path = run + "/checkpoints/step-" + std::to_string(kResumedSteps / 2);
        qn_train_state state = {};
        state.step = kResumedSteps / 2;
        Trainee first(config(), from, 7, rounding), second(config(), to, 99, rounding);
        first.train(1, kResumedSteps / 2);
        EXPECT_OK(qn_checkpoint_save(run.c_str(), first.m.model, &state, nullptr, 1, 0));
        EXPECT_OK(qn_checkpoint_load(path.c_str(), second.m.model));
        for (qn_buffer_id id : {QN_BUF_PARAMS, QN_BUF_ADAM_M, QN_BUF_ADAM_V})
            EXPECT_EQ(second.m.buffer(id), first.m.buffer(id));
        EXPECT_OK(qn_optimizer_resume(second.m.model, &second.train_options, state.step));
        return second.train(kResumedSteps / 2 + 1, kResumedSteps / 2);
    }
    std::vector<double> second_half(const qn_plan_options &o) {
        const std::vector<double> all = losses(o, 7, kResumedSteps);
        return {all.begin() + kResumedSteps / 2, all.end()};
    }
};

INSTANTIATE_TEST_SUITE_P(Models, Resumed,
                         testing::Values(Case{"qwen3", small_config("Qwen3ForCausalLM")}),
                         [](const auto &info) { return info.param.name; });

TEST_P(Resumed, SameStorageGivesTheSameBits) {
    const qn_plan_options o = bf16_storage(options());
    EXPECT_EQ(resume(o, o), second_half(o));
}

TEST_P(Resumed, StochasticRoundingGivesTheSameBits) {
    const qn_plan_options o = bf16_storage(options());
    const std::vector<double> all =
        Trainee(config(), o, 7, QN_ROUND_STOCHASTIC).train(1, kResumedSteps);
    EXPECT_EQ(resume(o, o, QN_ROUND_STOCHASTIC),
              std::vector<double>(all.begin() + kResumedSteps / 2, all.end()));
    EXPECT_NE(all, losses(o, 7, kResumedSteps));
}

TEST_P(Resumed, OtherStorageIsAsCloseAsItsRounding) {
    const std::vector<double> exact = second_half(options());
    const double error = rms_difference(second_half(bf16_storage(options())), exact);
    EXPECT_LE(rms_difference(resume(options(), bf16_storage(options())), exact), 2 * error);
    EXPECT_LE(rms_difference(resume(bf16_storage(options()), options()), exact), 2 * error);
}

} // namespace
