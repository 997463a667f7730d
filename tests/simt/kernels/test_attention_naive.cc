// The naive path's softmax kernels on given scores, against double.
#include "attention_device.h"

namespace {

using namespace attention;

struct Scores {
    std::vector<float> s, dweights, delta;
};

// Values that bf16 holds, so that both types of score see the same.
Scores random_scores(const AttentionShape &shape, uint32_t seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, 3);
    auto draw = [&](int64_t n) {
        std::vector<float> x((size_t)n);
        for (float &e : x) e = qn_round_bf16(normal(generator));
        return x;
    };
    int64_t rows = shape.lse_size();
    return {draw(rows * shape.n_keys), draw(rows * shape.n_keys), draw(rows)};
}

// x, with poison where a row does not look.
template <typename T>
DeviceArray<T> on_device(const std::vector<float> &x, const std::vector<bool> &seen) {
    DeviceArray<T> device(x.size());
    for (size_t i = 0; i < x.size(); i++) {
        float value = seen[i] ? x[i] : NAN;
        if constexpr (sizeof(T) == 4)
            device.data()[i] = value;
        else
            device.data()[i] = to_bf16(value).bits;
    }
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

template <typename T> void check(const AttentionShape &shape) {
    Scores in = random_scores(shape, 5);
    Exact want = exact(shape, in);
    Case c;
    c.shape = shape;
    Call call(c, random_inputs(c));
    DeviceArray<T> s = on_device<T>(in.s, want.seen), dw = on_device<T>(in.dweights, want.seen);
    DeviceArray<uint16_t> weights(in.s.size(), kPoison), dscores(in.s.size(), kPoison);
    DeviceArray<float> delta(in.delta);
    call.params.delta = delta.data();
    constexpr int f32 = sizeof(T) == 4;

    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), f32, weights.data(), nullptr),
              0);
    expect_rounded("weights", weights, want.weights);
    for (size_t r = 0; r < want.lse.size(); r++)
        ASSERT_NEAR(call.params.lse[r], want.lse[r], 1e-6 * std::max(1.0, std::abs(want.lse[r])));

    std::fill(weights.data(), weights.data() + weights.size(), kPoison);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), dw.data(), f32, weights.data(),
                                             dscores.data(), nullptr),
              0);
    expect_rounded("weights, recomputed", weights, want.weights);
    expect_rounded("dscores", dscores, want.dscores);
}

void check_both(const AttentionShape &shape) {
    check<float>(shape);
    check<uint16_t>(shape);
}

TEST(Naive, LengthsAndMasks) {
    for (int64_t n_keys : {1, 8, 37, 64})
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << n_keys << " keys, causal " << causal);
            AttentionShape shape = make_shape(2, std::min<int64_t>(n_keys, 9), n_keys, 2, 1, 64);
            shape.causal = causal;
            check_both(shape);
            shape.window = 5;
            check_both(shape);
        }
}

TEST(Naive, RowsOfSeveralSteps) {
    AttentionShape shape = make_shape(1, 3, 4500, 1, 1, 8);
    check_both(shape);
    shape.n_keys = 4504;
    shape.causal = true;
    shape.scale = -0.3;
    check_both(shape);
    shape.window = 2100;
    check_both(shape);
}

TEST(Naive, Documents) {
    AttentionShape shape = make_shape(1, 40, 40, 1, 1, 64);
    shape.doc_start = documents(1, {3, 0, 20, 17});
    check_both(shape);
}

TEST(Naive, InPlace) {
    AttentionShape shape = make_shape(1, 4, 2600, 1, 1, 8);
    shape.causal = true;
    Scores in = random_scores(shape, 6);
    Exact want = exact(shape, in);
    Case c;
    c.shape = shape;
    Call call(c, random_inputs(c));
    DeviceArray<uint16_t> s = on_device<uint16_t>(in.s, want.seen),
                          dw = on_device<uint16_t>(in.dweights, want.seen);
    DeviceArray<float> delta(in.delta);
    call.params.delta = delta.data();
    DeviceArray<uint16_t> copy(s.host());
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, copy.data(), 0, copy.data(), nullptr), 0);
    expect_rounded("weights", copy, want.weights);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), dw.data(), 0, s.data(),
                                             dw.data(), nullptr),
              0);
    expect_rounded("weights, recomputed", s, want.weights);
    expect_rounded("dscores", dw, want.dscores);
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
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), 1, weights.data(), nullptr), 0);
    EXPECT_EQ(call.params.lse[3], -INFINITY);
    for (int j = 48; j < 64; j++) EXPECT_EQ(weights.data()[j], 0);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), s.data(), 1, weights.data(),
                                             dscores.data(), nullptr),
              0);
    for (int j = 48; j < 64; j++) EXPECT_EQ(weights.data()[j] | dscores.data()[j], 0);
}

// Scores far below what hidden keys have, as where q·k overflows, weigh nothing: a row that sees no
// others is like one that sees nothing.
template <typename T> void check_no_weight() {
    Case c;
    c.shape = make_shape(1, 1, 16, 1, 1, 8);
    Call call(c, random_inputs(c));
    std::vector<float> scores(16, -INFINITY);
    std::fill_n(scores.begin(), 8, -3e38f);
    const std::vector<bool> seen(16, true);
    DeviceArray<T> s = on_device<T>(scores, seen),
                   dw = on_device<T>(std::vector<float>(16, 1), seen);
    DeviceArray<uint16_t> weights(16, kPoison), dscores(16, kPoison);
    DeviceArray<float> delta(1, 0.5f);
    call.params.delta = delta.data();
    constexpr int f32 = sizeof(T) == 4;
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, s.data(), f32, weights.data(), nullptr),
              0);
    EXPECT_EQ(call.params.lse[0], -INFINITY);
    for (uint16_t w : weights.host()) EXPECT_EQ(w, 0);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, s.data(), dw.data(), f32, weights.data(),
                                             dscores.data(), nullptr),
              0);
    for (uint16_t w : weights.host()) EXPECT_EQ(w, 0);
    for (uint16_t ds : dscores.host()) EXPECT_EQ(ds, 0);
}

TEST(Naive, ScoresOfNoWeight) {
    check_no_weight<float>();
    check_no_weight<uint16_t>();
}

TEST(Naive, NoKeys) {
    Case c;
    c.shape = make_shape(1, 4, 4, 1, 1, 8);
    Call call(c, random_inputs(c));
    DeviceArray<float> none(0), delta(4, 0.0f);
    DeviceArray<uint16_t> weights(0), dscores(0);
    call.params.delta = delta.data();
    call.params.n_keys = 0;
    EXPECT_EQ(qn_attn_naive_softmax_forward(&call.params, none.data(), 1, weights.data(), nullptr),
              0);
    for (int i = 0; i < 4; i++) EXPECT_EQ(call.params.lse[i], -INFINITY);
    EXPECT_EQ(qn_attn_naive_softmax_backward(&call.params, none.data(), none.data(), 1,
                                             weights.data(), dscores.data(), nullptr),
              0);
}

} // namespace
