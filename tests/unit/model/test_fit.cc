// test_fit.cc: what would make a plan fit that does not.
#include <limits>

#include "harness/small_model.h"
#include "quern/fit.h"

namespace {

class Fit : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_OK(qn_cpu_open(2, &backend));
        use("gpt2-124m");
    }
    void TearDown() override {
        qn_params_free(&params);
        backend->ops->close(backend);
    }

    void use(const char *preset) {
        qn_params_free(&params);
        ASSERT_OK(qn_config_preset(preset, 0, &config));
        ASSERT_OK(qn_params_make(&config, &params));
    }
    qn_plan plan_of(const qn_plan_options &o) {
        qn_plan plan = {};
        EXPECT_OK(qn_plan_make(backend, &config, &params, &o, &plan));
        return plan;
    }
    size_t bytes(const qn_plan_options &o) { return plan_of(o).total_bytes; }

    // Searches, and holds to every choice what holds for all.
    qn_fit find(const qn_plan_options &asked, size_t memory) {
        qn_fit fit = {};
        const qn_plan plan = plan_of(asked);
        EXPECT_GT(plan.total_bytes, memory);
        EXPECT_OK(qn_fit_find(backend, &params, &plan, memory, &fit));
        for (int i = 0; i < fit.count; i++) {
            const qn_plan_options &o = fit.choices[i].options;
            EXPECT_LE(fit.choices[i].bytes, memory);
            EXPECT_EQ(fit.choices[i].bytes, bytes(o));
            EXPECT_EQ(o.batch_size * o.seq_len * o.grad_accum,
                      asked.batch_size * asked.seq_len * asked.grad_accum);
        }
        return fit;
    }
    std::string describe(const qn_fit &fit, const qn_plan_options &asked) {
        char text[QN_FIT_TEXT];
        const qn_plan plan = plan_of(asked);
        return qn_fit_describe(&fit, &plan, text);
    }

    qn_backend *backend = nullptr;
    qn_config config = {};
    qn_params params = {};
};

std::string in_gb(size_t bytes) {
    char text[32];
    snprintf(text, sizeof text, "%.2f GB", 1e-9 * (double)bytes);
    return text;
}

qn_plan_options with(qn_plan_options o, qn_recompute recompute, int64_t batch_size,
                     int64_t grad_accum) {
    o.recompute = recompute;
    o.batch_size = batch_size;
    o.grad_accum = grad_accum;
    return o;
}

// Just what an alternative needs is enough for it, and not for the one before it.
TEST_F(Fit, TheFirstThatFitsOfEachKind) {
    qn_plan_options o = small_options(16, 1024);
    o.grad_accum = 3;
    const size_t norms = bytes(with(o, QN_RECOMPUTE_NORMS, 16, 3));
    const size_t block = bytes(with(o, QN_RECOMPUTE_BLOCK, 16, 3));
    const size_t half = bytes(with(o, QN_RECOMPUTE_NONE, 8, 6));
    const size_t quarter = bytes(with(o, QN_RECOMPUTE_NONE, 4, 12));
    const size_t eighth = bytes(with(o, QN_RECOMPUTE_NONE, 2, 24));
    ASSERT_TRUE(norms > half && half > quarter && quarter > block && block > eighth);
    auto found = [&](size_t memory) { return describe(find(o, memory), o); };
    EXPECT_EQ(found(norms), "with --recompute norms it needs " + in_gb(norms) +
                                ", with --batch-size 8 --grad-accum 6 " + in_gb(half));
    EXPECT_EQ(found(norms - 1), "with --recompute block it needs " + in_gb(block) +
                                    ", with --batch-size 8 --grad-accum 6 " + in_gb(half));
    EXPECT_EQ(found(half - 1), "with --recompute block it needs " + in_gb(block) +
                                   ", with --batch-size 4 --grad-accum 12 " + in_gb(quarter));
    EXPECT_EQ(found(block - 1), "with --batch-size 2 --grad-accum 24 it needs " + in_gb(eighth));
}

TEST_F(Fit, BothWhereNeitherIsEnough) {
    const qn_plan_options o = small_options(8, 1024);
    const qn_plan_options one = with(o, QN_RECOMPUTE_NONE, 1, 8);
    const qn_plan_options block = with(o, QN_RECOMPUTE_BLOCK, 8, 1);
    const size_t least = std::min(bytes(one), bytes(block));
    const qn_fit fit = find(o, least - 1);
    ASSERT_EQ(fit.count, 1);
    EXPECT_EQ(fit.choices[0].options.recompute, QN_RECOMPUTE_BLOCK);
    EXPECT_LT(fit.choices[0].options.batch_size, 8);
    EXPECT_EQ(fit.choices[0].options.seq_len, 1024);
}

TEST_F(Fit, ShorterSequencesComeLast) {
    const qn_plan_options o = small_options(2, 1024);
    const qn_plan_options least = with(o, QN_RECOMPUTE_BLOCK, 1, 2);
    const qn_fit fit = find(o, bytes(least) - 1);
    ASSERT_EQ(fit.count, 1);
    EXPECT_EQ(describe(fit, o),
              "with --recompute block --batch-size 1 --seq-len 512 --grad-accum 4 it needs " +
                  in_gb(fit.choices[0].bytes));
}

// What is asked for already is no advice.
TEST_F(Fit, KeepsTheRecomputationThatWasAskedFor) {
    qn_plan_options o = small_options(4, 512);
    o.recompute = QN_RECOMPUTE_BLOCK;
    const size_t half = bytes(with(o, QN_RECOMPUTE_BLOCK, 2, 2));
    EXPECT_EQ(describe(find(o, half), o),
              "with --batch-size 2 --grad-accum 2 it needs " + in_gb(half));
}

// 6 sequences are 2 times 3, these 3 times 1; a step keeps its tokens, which find() holds to it.
TEST_F(Fit, OddBatchesFallIntoEqualParts) {
    for (int64_t batch : {6, 7, 9, 15}) {
        const qn_plan_options o = small_options(batch, 256);
        const size_t one = bytes(with(o, QN_RECOMPUTE_NONE, 1, batch));
        const qn_fit fit = find(o, one);
        ASSERT_GE(fit.count, 1) << batch;
        EXPECT_EQ(fit.choices[fit.count - 1].options.batch_size, 1) << batch;
    }
}

// Beyond what a plan takes, a step loses tokens.
TEST_F(Fit, AccumulationStaysInItsRange) {
    qn_plan_options o = small_options(4096, 1024);
    o.recompute = QN_RECOMPUTE_BLOCK;
    o.grad_accum = std::numeric_limits<int32_t>::max() / 2;
    const size_t half = bytes(with(o, QN_RECOMPUTE_BLOCK, 2048, 2 * o.grad_accum));
    EXPECT_EQ(find(o, half).choices[0].options.batch_size, 2048);
    o.grad_accum++;
    qn_fit fit = {};
    const qn_plan plan = plan_of(o);
    EXPECT_OK(qn_fit_find(backend, &params, &plan, half, &fit));
    ASSERT_EQ(fit.count, 1);
    EXPECT_EQ(fit.choices[0].options.batch_size, 2048);
    EXPECT_EQ(fit.choices[0].options.grad_accum, o.grad_accum);
}

TEST_F(Fit, AModelThatIsTooLargeIsCalledSo) {
    use("qwen2.5-7b");
    const qn_plan_options o = small_options(2, 512);
    const qn_fit fit = find(o, (size_t)80e9);
    EXPECT_EQ(fit.count, 0);
    EXPECT_EQ(fit.least.options.recompute, QN_RECOMPUTE_BLOCK);
    EXPECT_EQ(fit.least.options.batch_size, 1);
    EXPECT_EQ(fit.least.options.seq_len, QN_FIT_SHORTEST);
    EXPECT_EQ(fit.least.bytes, bytes(fit.least.options));
    // 7.6 billion parameters, gradients and two moments, in fp32.
    EXPECT_NEAR((double)fit.state_bytes, 16 * 7615616512.0, 1e8);
    EXPECT_EQ(describe(fit, o),
              "the model's parameters, gradients and moments need " + in_gb(fit.state_bytes) +
                  " of it, and with --recompute block --batch-size 1 --seq-len 128 --grad-accum 8 "
                  "all needs " +
                  in_gb(fit.least.bytes) +
                  "; it takes a smaller model or a device with more memory");
}

TEST_F(Fit, NothingIsLeftToTry) {
    qn_plan_options o = small_options(1, 128);
    o.recompute = QN_RECOMPUTE_BLOCK;
    const qn_fit fit = find(o, 1000);
    EXPECT_EQ(describe(fit, o), "the model's parameters, gradients and moments need " +
                                    in_gb(fit.state_bytes) +
                                    " of it; it takes a smaller model or a device with more "
                                    "memory");
}

// Evaluation knows neither recomputation nor accumulation; generation calls its length context.
TEST_F(Fit, OtherModesHaveFlagsOfTheirOwn) {
    qn_plan_options o = small_options(4, 1024, QN_PLAN_EVAL);
    qn_plan_options less = o;
    less.batch_size = 2;
    qn_fit fit = {};
    qn_plan plan = plan_of(o);
    EXPECT_OK(qn_fit_find(backend, &params, &plan, bytes(less), &fit));
    EXPECT_EQ(describe(fit, o), "with --batch-size 2 it needs " + in_gb(bytes(less)));
    less.batch_size = 1;
    less.seq_len = 512;
    EXPECT_OK(qn_fit_find(backend, &params, &plan, bytes(less), &fit));
    EXPECT_EQ(describe(fit, o), "with --batch-size 1 --seq-len 512 it needs " + in_gb(bytes(less)));

    o = less = small_options(1, 1024, QN_PLAN_GENERATE);
    less.seq_len = 256;
    plan = plan_of(o);
    EXPECT_OK(qn_fit_find(backend, &params, &plan, bytes(less), &fit));
    EXPECT_EQ(describe(fit, o), "with --context 256 it needs " + in_gb(bytes(less)));
}

} // namespace
