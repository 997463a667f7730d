// test_attention_stats.cc: statistics of attention rows against the float64 reference.
#include "harness/attention_case.h"

using namespace harness;

namespace {

const char *const kSums[] = {"entropy", "max_logit",  "p_max",         "distance",  "sink",
                             "local",   "base_p_max", "base_distance", "base_sink", "base_local"};

class AttentionStats : public testing::TestWithParam<qn_attn_impl> {
  protected:
    static AttentionCase make(AttentionShape shape) {
        AttentionCase c;
        c.shape = std::move(shape);
        c.impl = GetParam();
        c.layout = AttentionLayout::kPadded;
        c.stats = true;
        return c;
    }

    // Within 1e-4 of the reference, a row; distances a position.
    static void check_on(Device &d, const AttentionCase &c, const AttentionInputs<float> &in) {
        AttentionCall call(d, c, in);
        call.forward();
        auto result = call.result();
        AttentionShape shape = c.shape;
        shape.scale = (float)shape.scale;
        auto exact = reference::Attention<double>(shape, convert<double>(in)).run(c.local_window);
        EXPECT_EQ(result.counts, exact.counts);
        for (int s = 0; s < QN_ATTN_N_SUMS; s++) {
            for (int64_t h = 0; h < shape.n_heads; h++) {
                double rows = s == QN_ATTN_MAX_LOGIT ? 1 : (double)(shape.batch * shape.n_queries);
                double reach = s == QN_ATTN_DISTANCE || s == QN_ATTN_BASE_DISTANCE
                                   ? (double)shape.n_keys
                                   : 1 + std::abs(exact.sums[s * shape.n_heads + h]) / rows;
                EXPECT_NEAR(result.sums[s * shape.n_heads + h] / rows,
                            exact.sums[s * shape.n_heads + h] / rows, 1e-5 * reach)
                    << kSums[s] << ", head " << h;
            }
        }
    }
    static void check(const AttentionCase &c, const AttentionInputs<float> &in) {
        on_each_dtype([&](Device &d) { check_on(d, c, stored(d, in)); });
    }
    static void check(const AttentionCase &c) { check(c, random_inputs(c)); }
};

INSTANTIATE_TEST_SUITE_P(Impl, AttentionStats, testing::Values(QN_ATTN_NAIVE, QN_ATTN_FUSED),
                         [](const auto &info) {
                             return info.param == QN_ATTN_NAIVE ? "naive" : "fused";
                         });

TEST_P(AttentionStats, EveryCombinationOfMasks) {
    for (int mask = 0; mask < 8; mask++) {
        SCOPED_TRACE(mask);
        on_each_dtype([&](Device &d) {
            const int64_t groups = d.emulated ? 1 : 2;
            AttentionShape shape = make_shape(2, 203, 203, 2 * groups, groups, 16);
            shape.causal = mask & 1;
            shape.window = mask & 2 ? 37 : 0;
            if (mask & 4) shape.doc_start = documents(2, {1, 62, 0, 70, 1, 1, 0, 68});
            AttentionCase c = make(shape);
            check_on(d, c, stored(d, random_inputs(c)));
        });
    }
}

TEST_P(AttentionStats, RaggedLengths) {
    for (int64_t length : {1, 2, 24, 64, 65, 97, 260}) {
        SCOPED_TRACE(length);
        AttentionShape shape = make_shape(1, length, length, 2, 1, 8);
        shape.causal = true;
        check(make(shape));
        shape.n_keys = length + 31;
        check(make(shape));
    }
}

// More keys than a thread block of the naive softmax takes at a time; the document of the last
// rows begins and the window of the first ends in the middle.
TEST_P(AttentionStats, LongRows) {
    for (int64_t length : {4500, 4504}) {
        SCOPED_TRACE(length);
        AttentionCase c = make(make_shape(1, 3, length, 1, 1, 8));
        c.shape.scale = -0.3;
        c.local_window = 2600;
        check(c);
        c.shape.doc_start = documents(1, {2300, length - 2300});
        check(c);
        c.shape.causal = true;
        c.shape.window = 2100;
        check(c);
    }
}

// Statistics of a row take more room than its scores.
TEST_P(AttentionStats, ManyShortSequences) {
    AttentionShape shape = make_shape(16, 5, 5, 4, 2, 8);
    shape.causal = true;
    check(make(shape));
}

TEST_P(AttentionStats, LocalWindows) {
    AttentionShape shape = make_shape(1, 100, 100, 1, 1, 8);
    for (bool causal : {false, true}) {
        for (int64_t local_window :
             {(int64_t)0, (int64_t)1, (int64_t)64, (int64_t)1000, INT64_MAX}) {
            SCOPED_TRACE(testing::Message() << causal << " " << local_window);
            AttentionCase c = make(shape);
            c.shape.causal = causal;
            c.local_window = local_window;
            check(c);
        }
    }
}

// Peaked rows, a maximum that rises from tile to tile, and logits far from zero, where the
// unshifted form of the entropy would lose its digits.
TEST_P(AttentionStats, EntropyWithLargeLogits) {
    AttentionCase c = make(make_shape(1, 96, 500, 1, 1, 16));
    auto in = random_inputs(c);
    for (int64_t j = 0; j < 500; j++)
        for (int64_t d = 0; d < 16; d++) in.k[j * 16 + d] *= 1 + 0.01f * (float)j;
    check(c, in);
    for (int64_t i = 0; i < 96; i++) in.q[i * 16] = 64;
    for (int64_t j = 0; j < 500; j++) in.k[j * 16] = 64;
    check(c, in);
}

TEST_P(AttentionStats, OnesOfUniformAttention) {
    AttentionCase c = make(make_shape(1, 150, 150, 1, 1, 8));
    c.shape.causal = true;
    on_each_dtype([&](Device &d) {
        auto in = stored(d, random_inputs(c));
        for (float &x : in.q) x = 0;
        AttentionCall call(d, c, in);
        call.forward();
        auto result = call.result();
        EXPECT_EQ(result.counts, (std::vector<int64_t>{150, 149}));
        EXPECT_NEAR(result.sums[QN_ATTN_ENTROPY], 149, 1e-3);
        EXPECT_EQ(result.sums[QN_ATTN_MAX_LOGIT], 0);
        EXPECT_NEAR(result.sums[QN_ATTN_P_MAX], result.sums[QN_ATTN_BASE_P_MAX], 1e-5);
        EXPECT_NEAR(result.sums[QN_ATTN_DISTANCE], result.sums[QN_ATTN_BASE_DISTANCE], 1e-2);
        EXPECT_NEAR(result.sums[QN_ATTN_SINK], result.sums[QN_ATTN_BASE_SINK], 1e-5);
        EXPECT_NEAR(result.sums[QN_ATTN_LOCAL], result.sums[QN_ATTN_BASE_LOCAL], 1e-4);
    });
}

// The sums add to what is there; the maximum takes the larger.
TEST_P(AttentionStats, CallsAccumulate) {
    AttentionCase c = make(make_shape(2, 50, 50, 2, 1, 8));
    c.shape.causal = true;
    on_each_dtype([&](Device &d) {
        auto in = stored(d, random_inputs(c));
        AttentionCall call(d, c, in);
        call.forward();
        auto once = call.result();
        call.forward();
        auto twice = call.result();
        for (size_t i = 0; i < once.counts.size(); i++)
            EXPECT_EQ(twice.counts[i], 2 * once.counts[i]);
        for (size_t i = 0; i < once.sums.size(); i++) {
            bool maximum = i / 2 == QN_ATTN_MAX_LOGIT;
            EXPECT_NEAR(twice.sums[i], (maximum ? 1 : 2) * once.sums[i],
                        1e-6 * std::abs(twice.sums[i]));
        }
    });
}

TEST_P(AttentionStats, LeaveEveryBitOfTheOutputs) {
    for (int mask = 0; mask < 4; mask++) {
        on_each_dtype([&](Device &d) {
            const int64_t n_heads = d.emulated ? 1 : 3;
            AttentionCase c = make(make_shape(1, 203, 250, n_heads, n_heads, 24));
            c.shape.causal = mask & 1;
            c.shape.window = mask & 2 ? 70 : 0;
            auto in = stored(d, random_inputs(c));
            AttentionCall with(d, c, in);
            with.forward();
            AttentionCase plain = c;
            plain.stats = false;
            AttentionCall without(d, plain, in);
            without.forward();
            EXPECT_TRUE(same_bits(with.result().o, without.result().o));
            EXPECT_TRUE(same_bits(with.result().lse, without.result().lse));
        });
    }
}

} // namespace
