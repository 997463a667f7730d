// test_adamw.cc: the optimizer's update against the paper's formula.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/random.h"
#include "quern/adamw.h"
#include "quern/rounding.h"

using namespace harness;

namespace {

struct Case {
    int64_t count = 0;
    std::vector<qn_adamw_segment> segments;
    float grad_scale = 1, clip = 0, lr = 1e-3f, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f;
    int64_t step = 1;
    std::vector<float> param, grad, m, v;

    double sumsq() const { return dot(grad, grad); }
};

Case make_case(int64_t count, std::vector<qn_adamw_segment> segments, uint32_t seed) {
    Random random(seed);
    Case k;
    k.count = count;
    k.segments = std::move(segments);
    k.param = random.normal((size_t)count);
    k.grad = random.normal((size_t)count, 0.1f);
    k.m = random.normal((size_t)count, 0.05f);
    k.v = random.normal((size_t)count, 0.01f);
    for (float &v : k.v) v = v * v;
    return k;
}

template <typename T> struct State { std::vector<T> param, m, v; };

template <typename T> State<T> adamw_reference(const Case &k) {
    State<T> s{convert<T>(k.param), convert<T>(k.m), convert<T>(k.v)};
    T scale = (T)k.grad_scale;
    if (k.clip > 0)
        scale *=
            (T)std::min(1.0, k.clip / (std::fabs((double)k.grad_scale) * std::sqrt(k.sumsq())));
    T b1 = (T)k.beta1, b2 = (T)k.beta2;
    T correct1 = (T)(1 - std::pow((double)k.beta1, (double)k.step));
    T correct2 = (T)(1 - std::pow((double)k.beta2, (double)k.step));
    for (const qn_adamw_segment &segment : k.segments)
        for (int64_t at = segment.offset; at < segment.offset + segment.count; at++) {
            size_t i = (size_t)at;
            T g = (T)k.grad[i] * scale;
            s.m[i] = b1 * s.m[i] + (1 - b1) * g;
            s.v[i] = b2 * s.v[i] + (1 - b2) * g * g;
            T step = (s.m[i] / correct1) / (std::sqrt(s.v[i] / correct2) + (T)k.eps);
            s.param[i] -= (T)k.lr * (step + (T)segment.weight_decay * s.param[i]);
        }
    return s;
}

// What an update reads of a case besides the arrays, on the device.
class Table {
  public:
    Table(Device &d, const Case &k)
        : segments(d, k.segments.size() * sizeof(qn_adamw_segment)),
          rate(d, sizeof(qn_adamw_rate)) {
        const qn_adamw_rate now = qn_adamw_rate_of(k.lr, k.beta1, k.beta2, k.step);
        put(segments, k.segments.data());
        put(rate, &now);
    }
    DeviceBytes segments, rate;

  private:
    static void put(DeviceBytes &bytes, const void *values) {
        if (bytes.size) memcpy(bytes.image.data() + DeviceBytes::kGuard, values, bytes.size);
        bytes.upload();
    }
};

qn_adamw_args arguments(const Case &k, const Table &table, const Floats &param, const Floats &grad,
                        const Floats &m, const Floats &v, const Floats &sumsq) {
    qn_adamw_args args = {};
    args.param = (float *)param.view.data;
    args.grad = (const float *)grad.view.data;
    args.m = (float *)m.view.data;
    args.v = (float *)v.view.data;
    args.count = k.count;
    args.segments = (const qn_adamw_segment *)table.segments.data();
    args.rate = (const qn_adamw_rate *)table.rate.data();
    args.n_segments = (int)k.segments.size();
    args.grad_sumsq = (const float *)sumsq.view.data;
    args.grad_scale = k.grad_scale;
    args.clip = k.clip;
    args.beta1 = k.beta1;
    args.beta2 = k.beta2;
    args.eps = k.eps;
    return args;
}

State<float> run(Device &d, const Case &k, float sumsq, Layout layout = Layout::kPadded) {
    Floats param(d, {k.count}, k.param, layout), grad(d, {k.count}, k.grad, layout);
    Floats m(d, {k.count}, k.m, layout), v(d, {k.count}, k.v, layout);
    Floats device_sumsq(d, {1}, {sumsq});
    const Table table(d, k);
    const qn_adamw_args args = arguments(k, table, param, grad, m, v, device_sumsq);
    expect_ok(d.ops().adamw(d.stream, &args));
    return {param.read(), m.read(), v.read()};
}

void check(const Case &k) {
    State<double> exact = adamw_reference<double>(k);
    State<float> plain = adamw_reference<float>(k);
    on_each_backend([&](Device &d) {
        State<float> got = run(d, k, (float)k.sumsq());
        expect_accurate("param", got.param, exact.param, plain.param);
        expect_accurate("m", got.m, exact.m, plain.m);
        expect_accurate("v", got.v, exact.v, plain.v);
        // The step by itself, which the size of param would hide.
        std::vector<float> step(k.param), plain_step(k.param);
        std::vector<double> exact_step = convert<double>(k.param);
        double largest = 0;
        for (size_t i = 0; i < step.size(); i++) {
            step[i] -= got.param[i];
            plain_step[i] -= plain.param[i];
            exact_step[i] -= exact.param[i];
            largest = std::max(largest, std::fabs((double)k.param[i]));
        }
        expect_accurate("step", step, exact_step, plain_step, largest / 2);
        expect_same_bits("param", got.param, run(d, k, (float)k.sumsq()).param);
        State<float> aligned = run(d, k, (float)k.sumsq(), Layout::kDense);
        expect_same_bits("param", got.param, aligned.param);
        expect_same_bits("m", got.m, aligned.m);
        expect_same_bits("v", got.v, aligned.v);
    });
}

TEST(Adamw, OneSegment) {
    for (int64_t count : {0, 1, 17, 4097, 40000}) check(make_case(count, {{0, count, 0.1f}}, 3));
}

TEST(Adamw, ElementsOutsideSegmentsStayAsTheyAre) {
    Case k = make_case(30000, {{3, 5, 0.5f}, {8, 4000, 0}, {4096, 20011, 0.1f}, {29999, 1, 0}}, 4);
    check(k);
    on_each_backend([&](Device &d) {
        State<float> got = run(d, k, 1);
        for (size_t i : {0, 2, 4008, 4095, 24107, 29998}) {
            EXPECT_EQ(got.param[i], k.param[i]) << i;
            EXPECT_EQ(got.m[i], k.m[i]) << i;
        }
    });
}

// Several in a tile of a GPU's: of every length up to some tiles of it, empty ones too,
// next to each other with one decay or two, and apart.
TEST(Adamw, HundredsOfSegments) {
    std::vector<qn_adamw_segment> segments;
    Random random(10);
    int64_t at = 1;
    for (int32_t i : random.integers(450, 0, 60)) {
        const int64_t count = i == 0 ? 2100 : i == 1 ? 0 : i;
        segments.push_back({at, count, i % 3 ? 0.25f : 0.5f});
        at += count + (i % 4 == 0);
    }
    check(make_case(at + 3, segments, 11));
}

TEST(Adamw, ClipsByTheScaledNorm) {
    for (float scale : {1.0f, 0.125f, -2.0f})
        for (float clip : {0.01f, 1.0f, 1e6f}) {
            Case k = make_case(1000, {{0, 1000, 0}}, 5);
            k.grad_scale = scale;
            k.clip = clip;
            check(k);
        }
}

TEST(Adamw, BiasCorrectionOfLateSteps) {
    for (int64_t step : {2, 10, 1000, 1000000000}) {
        Case k = make_case(500, {{0, 500, 0.1f}}, 6);
        k.step = step;
        k.beta2 = 0.999f;
        check(k);
    }
}

TEST(Adamw, NoGradientAtAllIsNoDivisionByZero) {
    Case k = make_case(20, {{0, 20, 0.1f}}, 7);
    k.grad.assign(20, 0);
    k.v.assign(20, 0);
    k.m.assign(20, 0);
    k.clip = 1;
    check(k);
}

TEST(Adamw, NonFiniteGradientsUpdateNothing) {
    Case k = make_case(100, {{0, 100, 0.1f}}, 8);
    on_each_backend([&](Device &d) {
        for (float sumsq : {NAN, INFINITY, -INFINITY}) {
            State<float> got = run(d, k, sumsq);
            expect_same_bits("param", got.param, k.param);
            expect_same_bits("m", got.m, k.m);
            expect_same_bits("v", got.v, k.v);
        }
    });
}

// ---- the working copy ------------------------------------------------------------------

struct Updated {
    std::vector<float> param, weights;
};

enum { kNone = 0, kAll = 31 };

struct Rounding {
    bool stochastic = false;
    uint64_t seed = 0;
    int unaligned = kAll; // bit i: param, grad, m, v, weights
};

Updated run_with_weights(Device &d, const Case &k, float sumsq, const std::vector<float> &before,
                         Rounding rounding = {}) {
    auto layout = [&](int i) {
        return rounding.unaligned >> i & 1 ? Layout::kPadded : Layout::kDense;
    };
    Floats param(d, {k.count}, k.param, layout(0)), grad(d, {k.count}, k.grad, layout(1));
    Floats m(d, {k.count}, k.m, layout(2)), v(d, {k.count}, k.v, layout(3));
    Floats device_sumsq(d, {1}, {sumsq});
    Stored weights(d, {k.count}, before, layout(4));
    const Table table(d, k);
    qn_adamw_args args = arguments(k, table, param, grad, m, v, device_sumsq);
    args.weights = weights.view.data;
    args.weights_dtype = d.storage;
    args.stochastic_rounding = rounding.stochastic;
    args.seed = rounding.seed;
    expect_ok(d.ops().adamw(d.stream, &args));
    return {param.read(), weights.read()};
}

TEST(Adamw, WorkingCopyIsTheRoundedParameters) {
    Case k = make_case(30000, {{3, 5, 0.5f}, {4096, 20011, 0.1f}, {29999, 1, 0}}, 9);
    on_each_backend([&](Device &d) {
        if (d.storage == QN_F32) return; // there is none
        const std::vector<float> before(30000, 0.25f);
        for (int unaligned : {(int)kNone, 1, 2, 4, 8, 16, (int)kAll}) {
            Rounding rounding;
            rounding.unaligned = unaligned;
            const Updated got = run_with_weights(d, k, (float)k.sumsq(), before, rounding);
            std::vector<float> want = before;
            for (const qn_adamw_segment &s : k.segments)
                for (int64_t i = s.offset; i < s.offset + s.count; i++)
                    want[(size_t)i] = qn_round_bf16(got.param[(size_t)i]);
            expect_same_bits("weights", got.weights, want);
            expect_same_bits("param", got.param, run(d, k, (float)k.sumsq()).param);
            expect_same_bits("weights", run_with_weights(d, k, NAN, before, rounding).weights,
                             before);
        }
    });
}

// The masters stay the bits that they are with nearest rounding; the copy is that of rounding.h,
// whatever the segment that an element lies in.
TEST(Adamw, WorkingCopyRoundedStochastically) {
    Case k = make_case(30000, {{3, 5, 0.5f}, {8, 9, 0}, {4097, 20010, 0.1f}, {29999, 1, 0}}, 12);
    on_each_backend([&](Device &d) {
        if (d.storage == QN_F32) return;
        const std::vector<float> before(30000, 0.25f);
        for (int unaligned : {(int)kNone, 16, (int)kAll})
            for (int64_t step : {1, 1000}) {
                k.step = step;
                const Rounding rounding = {true, 0xfedcba9876543210ull, unaligned};
                const Updated got = run_with_weights(d, k, (float)k.sumsq(), before, rounding);
                std::vector<float> want = before;
                for (const qn_adamw_segment &s : k.segments)
                    for (int64_t i = s.offset; i < s.offset + s.count; i++)
                        want[(size_t)i] = qn_float_of_bf16(
                            qn_bf16_stochastic_at(got.param[(size_t)i], rounding.seed, step, i));
                expect_same_bits("weights", got.weights, want);
                expect_same_bits("param", got.param, run(d, k, (float)k.sumsq()).param);
                expect_same_bits("weights", run_with_weights(d, k, NAN, before, rounding).weights,
                                 before);
            }
    });
}

// Parameters that do not move, a quarter of a gap above what bf16 has: of n seeds each element
// goes up in n/4 of them, within five deviations, and is never anything but a neighbour.
TEST(Adamw, WorkingCopyIsUnbiased) {
    const int n = 400;
    Case k = make_case(64, {{0, 64, 0}}, 13);
    k.lr = 0;
    k.param.assign(64, -(1 + 0x1p-9f));
    on_each_backend([&](Device &d) {
        if (d.storage == QN_F32) return;
        std::vector<int> ups(64);
        for (int seed = 0; seed < n; seed++) {
            const Rounding rounding = {true, (uint64_t)seed, kNone};
            const Updated got = run_with_weights(d, k, 1, std::vector<float>(64, 0), rounding);
            for (size_t i = 0; i < ups.size(); i++) {
                const float weight = got.weights[i];
                ASSERT_TRUE(weight == -1 || weight == -(1 + 0x1p-7f)) << weight;
                ups[i] += weight != -1;
            }
        }
        for (int count : ups) EXPECT_NEAR(count, n / 4, 5 * std::sqrt(n * 0.25 * 0.75));
    });
}

TEST(AdamwArguments, WorkingCopyInAnotherDtype) {
    Case k = make_case(4, {{0, 4, 0}}, 1);
    on_each_backend([&](Device &d) {
        Floats param(d, {4}, k.param), grad(d, {4}, k.grad), m(d, {4}, k.m), v(d, {4}, k.v);
        Floats sumsq(d, {1}, {1}), weights(d, {4});
        const Table table(d, k);
        qn_adamw_args args = arguments(k, table, param, grad, m, v, sumsq);
        args.weights = weights.view.data;
        args.weights_dtype = QN_F16;
        expect_refused(d.ops().adamw(d.stream, &args),
                       d.storage == QN_F32 ? QN_CODE_UNSUPPORTED : QN_CODE_INVALID,
                       {"adamw: weights is", "fp16"});
        param.expect_untouched();
        weights.expect_untouched();
    });
}

TEST(AdamwArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](auto change, std::vector<std::string> words) {
            Case k = make_case(10, {{0, 4, 0}, {4, 6, 0}}, 1);
            Floats param(d, {10}, k.param), grad(d, {10}, k.grad), m(d, {10}, k.m), v(d, {10}, k.v);
            Floats sumsq(d, {1}, {1});
            const Table table(d, k);
            qn_adamw_args args = arguments(k, table, param, grad, m, v, sumsq);
            change(args);
            words.push_back("adamw");
            expect_refused(d.ops().adamw(d.stream, &args), QN_CODE_INVALID, words);
            param.expect_untouched();
            m.expect_untouched();
            v.expect_untouched();
        };
        using Args = qn_adamw_args;
        refuse([](Args &a) { a.beta1 = 1; }, {"beta1 is 1"});
        refuse([](Args &a) { a.beta2 = NAN; }, {"beta2"});
        refuse([](Args &a) { a.clip = -1; }, {"clip is -1"});
        refuse([](Args &a) { a.m = nullptr; }, {"m is NULL"});
        refuse([](Args &a) { a.grad_sumsq = nullptr; }, {"grad_sumsq is NULL"});
        refuse([](Args &a) { a.segments = nullptr; }, {"segments is NULL"});
        refuse([](Args &a) { a.rate = nullptr; }, {"rate is NULL"});
        refuse([](Args &a) { a.grad_scale = INFINITY; }, {"grad_scale is inf"});
        refuse([](Args &a) { a.count = -1; }, {"count is -1"});
        refuse([](Args &a) { a.stochastic_rounding = true; },
               {"stochastic_rounding without weights"});
    });
}

} // namespace
