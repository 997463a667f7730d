// The naive path's softmax kernels on given scores, against double.
#include "attention_cases.h"
#include "forward_call.h"
#include "simt/sweep.h"

namespace {

using namespace attention;

struct Scores {
    std::vector<float> s, dweights, delta;
};

Scores random_scores(const AttentionShape &shape, uint32_t seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, 3);
    auto draw = [&](int64_t n) {
        std::vector<float> x((size_t)n);
        for (float &e : x) e = normal(generator);
        return x;
    };
    int64_t rows = shape.lse_size();
    return {draw(rows * shape.n_keys), draw(rows * shape.n_keys), draw(rows)};
}

// x, with poison where a row does not look.
DeviceArray<float> on_device(const std::vector<float> &x, const std::vector<bool> &seen) {
    DeviceArray<float> device(x.size());
    for (size_t i = 0; i < x.size(); i++) device.data()[i] = seen[i] ? x[i] : NAN;
    return device;
}

struct Exact {
    std::vector<double> weights, dscores, lse;
    std::vector<bool> seen;
};

Exact exact(const AttentionShape &shape, const Scores &in) {
    size_t n_keys = (size_t)shape.n_keys;
    Exact e = {std::vector<double>(in.s.size(), 0),
               std::vector<double>(in.s.size(), 0),
               {},
               std::vector<bool>(in.s.size(), false)};
    for (int64_t r = 0; r < shape.lse_size(); r++) {
        int64_t b = r / shape.n_queries / shape.n_heads;
        int64_t i = shape.position(r % shape.n_queries);
        size_t row = (size_t)r * n_keys;
        double sum = 0, scale = (float)shape.scale;
        for (size_t j = 0; j < n_keys; j++) {
            e.seen[row + j] = shape.sees(b, i, (int64_t)j);
            if (e.seen[row + j]) sum += std::exp(scale * in.s[row + j]);
        }
        e.lse.push_back(std::log(sum));
        for (size_t j = 0; j < n_keys; j++) {
            if (!e.seen[row + j]) continue;
            e.weights[row + j] = std::exp(scale * in.s[row + j]) / sum;
            e.dscores[row + j] = e.weights[row + j] * ((double)in.dweights[row + j] - in.delta[r]);
        }
    }
    return e;
}

// Half an ulp of bf16 (8 bits), and what the exponential's few fp32 roundings add.
void expect_rounded(const char *name, const DeviceArray<uint16_t> &x,
                    const std::vector<double> &want) {
    for (size_t i = 0; i < want.size(); i++)
        ASSERT_NEAR(from_bits(x.data()[i]), want[i], std::abs(want[i]) * (0x1p-8 + 4e-6))
            << name << ", element " << i;
}

void check_softmax(const AttentionShape &shape) {
    Scores in = random_scores(shape, 5);
    Exact want = exact(shape, in);
    Case c;
    c.shape = shape;
    Call call(c, random_inputs(c));
    DeviceArray<float> s = on_device(in.s, want.seen), dw = on_device(in.dweights, want.seen);
    DeviceArray<uint16_t> weights(in.s.size(), kPoison), dscores(in.s.size(), kPoison);
    DeviceArray<float> delta(in.delta);
    call.params.delta = delta.data();

    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), weights.data(), queue()), 0);
    expect_rounded("weights", weights, want.weights);
    for (size_t r = 0; r < want.lse.size(); r++)
        ASSERT_NEAR(call.params.lse[r], want.lse[r], 1e-6 * std::max(1.0, std::abs(want.lse[r])));

    std::fill(weights.data(), weights.data() + weights.size(), kPoison);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), dw.data(), weights.data(),
                                             dscores.data(), queue()),
              0);
    expect_rounded("weights, recomputed", weights, want.weights);
    expect_rounded("dscores", dscores, want.dscores);
}

TEST(Naive, LengthsAndMasks) {
    for (int64_t n_keys : {1, 8, 37, 64})
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << n_keys << " keys, causal " << causal);
            AttentionShape shape = make_shape(2, std::min<int64_t>(n_keys, 9), n_keys, 2, 1, 64);
            shape.causal = causal;
            check_softmax(shape);
            shape.window = 5;
            check_softmax(shape);
        }
}

TEST(Naive, RowsOfSeveralSteps) {
    AttentionShape shape = make_shape(1, 3, 4500, 1, 1, 8);
    check_softmax(shape);
    shape.n_keys = 4504;
    shape.causal = true;
    shape.scale = -0.3;
    check_softmax(shape);
    shape.window = 2100;
    check_softmax(shape);
}

TEST(Naive, Documents) {
    AttentionShape shape = make_shape(1, 40, 40, 1, 1, 64);
    shape.doc_start = documents(1, {3, 0, 20, 17});
    check_softmax(shape);
}

TEST(Naive, RowsThatSeeNothing) {
    AttentionShape shape = make_shape(1, 4, 16, 1, 1, 8);
    shape.causal = true;
    Case c;
    c.shape = shape;
    c.shape.doc_start.assign(16, 0);
    c.shape.doc_start[15] = 16;
    Scores in = random_scores(shape, 7);
    Call call(c, random_inputs(c));
    DeviceArray<float> s(std::vector<float>(64, NAN)), delta(in.delta);
    for (int i = 0; i < 48; i++) s.data()[i] = in.s[i];
    DeviceArray<uint16_t> weights(64, kPoison), dscores(64, kPoison);
    call.params.delta = delta.data();
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), weights.data(), queue()), 0);
    EXPECT_EQ(call.params.lse[3], -INFINITY);
    for (int j = 48; j < 64; j++) EXPECT_EQ(weights.data()[j], 0);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), s.data(), weights.data(),
                                             dscores.data(), queue()),
              0);
    for (int j = 48; j < 64; j++) EXPECT_EQ(weights.data()[j] | dscores.data()[j], 0);
}

// Scores far below what hidden keys have, as where q·k overflows, weigh nothing: a row that sees no
// others is like one that sees nothing.
TEST(Naive, ScoresOfNoWeight) {
    Case c;
    c.shape = make_shape(1, 1, 16, 1, 1, 8);
    Call call(c, random_inputs(c));
    DeviceArray<float> s(16, -INFINITY), dw(16, 1.0f), delta(1, 0.5f);
    std::fill_n(s.data(), 8, -3e38f);
    DeviceArray<uint16_t> weights(16, kPoison), dscores(16, kPoison);
    call.params.delta = delta.data();
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), weights.data(), queue()), 0);
    EXPECT_EQ(call.params.lse[0], -INFINITY);
    for (uint16_t w : weights.host()) EXPECT_EQ(w, 0);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), dw.data(), weights.data(),
                                             dscores.data(), queue()),
              0);
    for (uint16_t w : weights.host()) EXPECT_EQ(w, 0);
    for (uint16_t ds : dscores.host()) EXPECT_EQ(ds, 0);
}

TEST(Naive, NoKeys) {
    Case c;
    c.shape = make_shape(1, 4, 4, 1, 1, 8);
    Call call(c, random_inputs(c));
    DeviceArray<float> none(0), delta(4, 0.0f);
    DeviceArray<uint16_t> weights(0), dscores(0);
    call.params.delta = delta.data();
    call.params.n_keys = 0;
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, none.data(), weights.data(), queue()), 0);
    for (int i = 0; i < 4; i++) EXPECT_EQ(call.params.lse[i], -INFINITY);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, none.data(), none.data(), weights.data(),
                                             dscores.data(), queue()),
              0);
}

// ---- statistics ------------------------------------------------------------------------

// q·k of a case's inputs, NaN where a row does not look.
DeviceArray<float> scores_of(const AttentionShape &s, const AttentionInputs<float> &in) {
    DeviceArray<float> scores((size_t)(s.lse_size() * s.n_keys), NAN);
    for (int64_t r = 0; r < s.lse_size(); r++)
        for (int64_t j = 0; j < s.n_keys; j++) {
            int64_t b = r / s.n_queries / s.n_heads, h = r / s.n_queries % s.n_heads;
            int64_t i = r % s.n_queries, kv_head = h / (s.n_heads / s.n_kv_heads);
            if (!s.sees(b, s.position(i), j)) continue;
            const float *q = &in.q[((b * s.n_queries + i) * s.n_heads + h) * s.head_dim];
            const float *k = &in.k[((b * s.n_keys + j) * s.n_kv_heads + kv_head) * s.head_dim];
            double dot = 0;
            for (int64_t d = 0; d < s.head_dim; d++) dot += (double)q[d] * k[d];
            scores.data()[r * s.n_keys + j] = (float)dot;
        }
    return scores;
}

struct SoftmaxResult {
    AttentionResult<float> of; // lse and statistics
    std::vector<uint16_t> weights;
};

SoftmaxResult run_softmax(const Case &c, const AttentionInputs<float> &in,
                          const DeviceArray<float> &scores) {
    Call call(c, in);
    DeviceArray<qn_attn_tile_stats> rows((size_t)c.shape.lse_size());
    DeviceArray<uint16_t> weights(scores.size(), kPoison);
    call.params.stats_parts = rows.data();
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, scores.data(), weights.data(), queue()),
              0);
    return {call.result(), weights.host()};
}

// They are right, and lse and weights are the same bits without.
void check_stats(Case c) {
    AttentionInputs<float> in = random_inputs(c);
    DeviceArray<float> scores = scores_of(c.shape, in);
    SoftmaxResult without = run_softmax(c, in, scores);
    c.stats = true;
    SoftmaxResult with = run_softmax(c, in, scores);
    EXPECT_TRUE(harness::same_bits(without.of.lse, with.of.lse));
    EXPECT_EQ(without.weights, with.weights);
    expect_stats(with.of, expected(c, in), c.shape.n_heads, c.shape.n_keys);
}

TEST(NaiveStats, MasksAndDocuments) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 1, 9}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(2, 13, 37, 4, 2, 8);
            c.shape.causal = causal;
            c.shape.window = window;
            c.local_window = 3;
            check_stats(c);
            c.shape.doc_start = documents(2, {25, 0, 7, 1, 4});
            check_stats(c);
        }
}

// A row whose visible scores have all overflowed counts nowhere.
TEST(NaiveStats, ARowOfNoWeightCountsNowhere) {
    Case c = make_case(1, 2, 16, 1, 1, 8);
    c.stats = true;
    AttentionInputs<float> in = random_inputs(c);
    DeviceArray<float> scores = scores_of(c.shape, in);
    std::fill_n(scores.data() + 16, 16, -INFINITY);
    const SoftmaxResult result = run_softmax(c, in, scores);
    EXPECT_EQ(result.of.lse[1], -INFINITY);
    EXPECT_EQ(result.of.counts[QN_ATTN_ROWS], 1);
    for (float sum : result.of.sums) EXPECT_TRUE(std::isfinite(sum)) << sum;
}

TEST(NaiveStats, SameBitsInEverySchedule) {
    Case c = make_case(1, 3, 2600, 1, 1, 8);
    c.shape.causal = true;
    c.shape.scale = -0.1;
    c.stats = true;
    AttentionInputs<float> in = random_inputs(c);
    DeviceArray<float> scores = scores_of(c.shape, in);
    SoftmaxResult first = run_softmax(c, in, scores);
    expect_stats(first.of, expected(c, in), 1, c.shape.n_keys);
    simt::for_each_schedule(6, [&] {
        SoftmaxResult again = run_softmax(c, in, scores);
        EXPECT_EQ(again.of.sums, first.of.sums);
        EXPECT_EQ(again.of.counts, first.of.counts);
        EXPECT_TRUE(harness::same_bits(again.of.lse, first.of.lse));
    });
}

} // namespace
