// test_activations.cc: SwiGLU, forward and backward, and GELU by itself.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/gemm_reference.h"
#include "harness/random.h"

using namespace harness;

namespace {

template <typename T> struct Swiglu { std::vector<T> out, dgate_up; };

// gate_up (N,2F), dout (N,F)
template <typename T>
Swiglu<T> swiglu_reference(const std::vector<T> &gate_up, const std::vector<T> &dout, int64_t f) {
    Swiglu<T> r{std::vector<T>(dout.size()), std::vector<T>(gate_up.size())};
    for (size_t i = 0; i < dout.size(); i++) {
        size_t g = i / (size_t)f * (size_t)(2 * f) + i % (size_t)f, u = g + (size_t)f;
        T gate = gate_up[g], up = gate_up[u];
        T sigma = 1 / (1 + std::exp(-gate));
        r.out[i] = gate * sigma * up;
        r.dgate_up[g] = dout[i] * up * (sigma + gate * sigma * (1 - sigma));
        r.dgate_up[u] = dout[i] * gate * sigma;
    }
    return r;
}

// Arithmetic in fp32, then one rounding: each result lies within half a gap of storage, besides
// 2^-17 for fp32's error of an exponential of up to 60, and what the reference's 1 + tanh loses.
void expect_rounded_once(qn_dtype storage, const std::vector<float> &result,
                         const std::vector<double> &exact) {
    const int digits = storage == QN_BF16 ? 8 : 24;
    for (size_t i = 0; i < exact.size(); i++) {
        const double gap = exact[i] == 0 ? 0 : std::ldexp(1.0, std::ilogb(exact[i]) + 1 - digits);
        ASSERT_LE(std::fabs((double)result[i] - exact[i]),
                  gap / 2 + 0x1p-17 * std::fabs(exact[i]) + 1e-14)
            << '[' << i << "] is " << result[i] << ", expected " << exact[i];
    }
}

struct Case {
    int64_t n, f;
    std::vector<float> gate_up, dout;
    Layout layout = Layout::kPadded, other = Layout::kPadded; // of what is read, and the rest
};

void check_swiglu(Device &d, Case c, bool in_place) {
    c.gate_up = d.stored(c.gate_up);
    c.dout = d.stored(c.dout);
    auto exact = swiglu_reference(convert<double>(c.gate_up), convert<double>(c.dout), c.f);
    auto plain = swiglu_reference(c.gate_up, c.dout, c.f);
    Stored gate_up(d, {c.n, 2 * c.f}, c.gate_up, c.layout), dout(d, {c.n, c.f}, c.dout, c.layout);
    Stored out(d, {c.n, c.f}, c.other), own(d, {c.n, 2 * c.f}, c.other);
    qn_swiglu_args args = {};
    args.gate_up = gate_up;
    args.out = out;
    expect_ok(d.ops().swiglu_forward(d.stream, &args));
    expect_stored(d.storage, "out", out.read(), exact.out, plain.out);
    expect_rounded_once(d.storage, out.read(), exact.out);
    args = {};
    args.gate_up = gate_up;
    args.dout = dout;
    args.dgate_up = in_place ? gate_up.view : own.view;
    expect_ok(d.ops().swiglu_backward(d.stream, &args));
    expect_stored(d.storage, "dgate_up", in_place ? gate_up.read() : own.read(), exact.dgate_up,
                  plain.dgate_up);
}

const int64_t kShapes[][2] = {{1, 1}, {3, 7}, {0, 4}, {4, 0}, {5, 64}, {33, 1000}};

TEST(Swiglu, ForwardAndBackward) {
    on_each_backend([&](Device &d) {
        uint32_t seed = 1;
        for (const auto &s : kShapes) {
            SCOPED_TRACE("N=" + std::to_string(s[0]) + " F=" + std::to_string(s[1]));
            Random random(seed++);
            Case c{s[0], s[1], random.normal((size_t)(2 * s[0] * s[1]), 3),
                   random.normal((size_t)(s[0] * s[1]))};
            for (Layout layout : {Layout::kDense, Layout::kPadded})
                for (Layout other : {Layout::kDense, Layout::kPadded})
                    for (bool in_place : {false, true}) {
                        c.layout = layout;
                        c.other = other;
                        check_swiglu(d, c, in_place);
                    }
        }
    });
}

// Where the exponential overflows and where the sigmoid rounds to 0 or 1.
TEST(Swiglu, ExtremeGates) {
    const std::vector<float> gates = {-1e4f, -100, -88, -20, -0.0f, 1e-30f, 20, 88, 100, 1e4f};
    const int64_t f = (int64_t)gates.size();
    Case all{1, f, gates, std::vector<float>(gates.size(), 1)};
    all.gate_up.resize(2 * gates.size(), 1);
    on_each_backend([&](Device &d) {
        Case c = all;
        c.gate_up = d.stored(c.gate_up);
        auto exact = swiglu_reference(convert<double>(c.gate_up), convert<double>(c.dout), f);
        Stored gate_up(d, {1, 2 * f}, c.gate_up), out(d, {1, f}), dgate_up(d, {1, 2 * f});
        Stored dout(d, {1, f}, c.dout);
        qn_swiglu_args args = {};
        args.gate_up = gate_up;
        args.out = out;
        args.dout = dout;
        args.dgate_up = dgate_up;
        expect_ok(d.ops().swiglu_forward(d.stream, &args));
        expect_ok(d.ops().swiglu_backward(d.stream, &args));
        const double rounding = 0x1p-20 + (d.storage == QN_BF16 ? 0x1p-9 : 0);
        auto check = [&](const char *name, const std::vector<float> &got,
                         const std::vector<double> &want) {
            for (size_t i = 0; i < got.size(); i++)
                EXPECT_NEAR((double)got[i], want[i], 1e-34 + rounding * std::fabs(want[i]))
                    << name << '[' << i << ']';
        };
        check("out", out.read(), exact.out);
        check("dgate_up", dgate_up.read(), exact.dgate_up);
    });
}

TEST(Gelu, ByItself) {
    on_each_backend([&](Device &d) {
        uint32_t seed = 1;
        for (const auto &s : kShapes) {
            std::vector<float> x = d.stored(Random(seed++).normal((size_t)(s[0] * s[1]), 3));
            std::vector<double> exact;
            std::vector<float> plain;
            for (float at : x) {
                exact.push_back(reference::gelu((double)at));
                plain.push_back(reference::gelu(at));
            }
            for (Layout from : {Layout::kDense, Layout::kPadded})
                for (Layout to : {Layout::kDense, Layout::kPadded}) {
                    Stored in(d, {s[0], s[1]}, x, from), out(d, {s[0], s[1]}, to);
                    expect_ok(d.ops().gelu(d.stream, out, in));
                    expect_stored(d.storage, "out", out.read(), exact, plain);
                    expect_rounded_once(d.storage, out.read(), exact);
                    Stored again(d, {s[0], s[1]}, to);
                    expect_ok(d.ops().gelu(d.stream, again, in));
                    expect_same_bits("out", again.read(), out.read());
                }
        }
    });
}

TEST(Gelu, ExtremeInputs) {
    on_each_backend([&](Device &d) {
        const auto x = d.stored({-1e30f, -100, -10, -0.0f, 0, 1e-30f, 10, 100, 1e30f});
        const std::vector<float> want = {0, 0, 0, 0, 0, x[5] / 2, 10, 100, x[8]};
        Stored in(d, {1, (int64_t)x.size()}, x), out(d, {1, (int64_t)x.size()});
        expect_ok(d.ops().gelu(d.stream, out, in));
        std::vector<float> got = out.read();
        for (size_t i = 0; i < x.size(); i++)
            EXPECT_NEAR(got[i], want[i], 1e-8f * (want[i] == 0) + want[i] * 0x1p-22f) << x[i];
    });
}

TEST(SwigluReference, GradientsAreFiniteDifferences) {
    Random random(2);
    auto gate_up = convert<double>(random.normal(24, 2)), dout = convert<double>(random.normal(12));
    auto loss = [&](const std::vector<double> &at) {
        return dot(swiglu_reference(at, dout, 4).out, dout);
    };
    expect_gradient("gate_up", loss, gate_up, swiglu_reference(gate_up, dout, 4).dgate_up);
}

TEST(ActivationArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        Stored gate_up(d, {2, 6}, std::vector<float>(12)), out(d, {2, 3}), wide(d, {2, 6});
        auto refuse = [&](bool forward, auto change, std::vector<std::string> words) {
            qn_swiglu_args args = {};
            args.gate_up = gate_up;
            args.out = out;
            args.dout = out;
            args.dgate_up = wide;
            change(args);
            auto op = forward ? d.ops().swiglu_forward : d.ops().swiglu_backward;
            expect_refused(op(d.stream, &args), QN_CODE_INVALID, words);
            out.expect_untouched();
            wide.expect_untouched();
        };
        refuse(true, [](qn_swiglu_args &a) { a.gate_up.shape[1] = 5; }, {"swiglu_forward", "even"});
        refuse(true, [](qn_swiglu_args &a) { a.out.shape[1] = 2; }, {"out is (2,2)", "(2,3)"});
        refuse(true, [](qn_swiglu_args &a) { a.gate_up.dtype = QN_F16; }, {"gate_up is fp16"});
        refuse(false, [](qn_swiglu_args &a) { a.dgate_up = absent(); },
               {"swiglu_backward", "dgate_up is missing"});
        refuse(false, [](qn_swiglu_args &a) { a.dout.shape[0] = 1; }, {"dout is (1,3)"});
        expect_refused(d.ops().gelu(d.stream, out, gate_up), QN_CODE_INVALID, {"gelu: out"});
        out.expect_untouched();
    });
}

} // namespace
