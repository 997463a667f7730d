// test_gemm.cc: the matrix product in every combination of shapes, transposes, beta,
// epilogues and precisions.
#include <array>
#include <optional>

#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/gemm_reference.h"
#include "harness/random.h"

using namespace harness;
using reference::Matrix;

namespace {

struct Product {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    qn_dtype compute;
    Layout layout = Layout::kPadded;
};

struct Finish {
    qn_epilogue epilogue;
    float beta;
    bool bias; // for GELU, where it is optional
};

const std::vector<Finish> kFinishes = {
    {QN_EPILOGUE_NONE, 0, false},      {QN_EPILOGUE_NONE, 1, false},
    {QN_EPILOGUE_NONE, -0.5f, false},  {QN_EPILOGUE_BIAS, 0, true},
    {QN_EPILOGUE_GELU, 0, true},       {QN_EPILOGUE_GELU, 0, false},
    {QN_EPILOGUE_DGELU, 0, false},     {QN_EPILOGUE_BGRAD_A, 0, true},
    {QN_EPILOGUE_BGRAD_A, 0.5f, true}, {QN_EPILOGUE_BGRAD_B, 0, true},
    {QN_EPILOGUE_BGRAD_B, 1, true},
};

bool is_bgrad(const Finish &f) {
    return f.epilogue == QN_EPILOGUE_BGRAD_A || f.epilogue == QN_EPILOGUE_BGRAD_B;
}
bool uses_bias(const Finish &f) { return f.bias; }
bool writes_aux(const Finish &f) { return f.epilogue == QN_EPILOGUE_GELU; }

// What goes in, dense.
struct Inputs {
    Inputs(const Product &p, uint32_t seed)
        : a{p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, {}}, b{p.transpose_b ? p.n : p.k,
                                                                         p.transpose_b ? p.k : p.n,
                                                                         {}} {
        Random random(seed);
        a.data = random.normal((size_t)(p.m * p.k));
        b.data = random.normal((size_t)(p.k * p.n), 1, 0.25f);
        c = random.normal((size_t)(p.m * p.n));
        aux = random.normal((size_t)(p.m * p.n), 2);
        bias_m = random.normal((size_t)p.m);
        bias_n = random.normal((size_t)p.n);
    }
    // What storage leaves of what is stored; c is read only where it is fp32.
    Inputs stored(const Device &d) const {
        Inputs in = *this;
        for (auto *x : {&in.a.data, &in.b.data, &in.aux, &in.bias_m, &in.bias_n}) *x = d.stored(*x);
        return in;
    }
    const std::vector<float> &bias(const Finish &f) const {
        return f.epilogue == QN_EPILOGUE_BGRAD_A ? bias_m : bias_n;
    }
    Matrix<float> a, b;
    std::vector<float> c, aux, bias_m, bias_n;
};

template <typename T> struct Result { std::vector<T> c, aux, bias; };

// Products of the operands (rounded, if so) and sums over k, which all finishes share.
template <typename T> struct Base {
    Base(const Product &p, const Inputs &in) {
        auto read = [](const Matrix<float> &x, bool round) {
            return Matrix<T>{x.rows, x.cols,
                             convert<T>(round ? reference::round_bf16(x.data) : x.data)};
        };
        bool round = p.compute == QN_BF16;
        c = reference::product(read(in.a, round), p.transpose_a, read(in.b, round), p.transpose_b);
        sums_a = reference::sums_along_k(read(in.a, false), p.transpose_a);
        sums_b = reference::sums_along_k(read(in.b, false), !p.transpose_b);
    }
    std::vector<T> c, sums_a, sums_b;
};

template <typename T>
Result<T> finish(const Product &p, const Inputs &in, const Base<T> &base, const Finish &f) {
    Result<T> r{base.c, convert<T>(in.aux), convert<T>(in.bias(f))};
    for (size_t i = 0; i < r.c.size(); i++) {
        T bias = uses_bias(f) && !is_bgrad(f) ? r.bias[i % (size_t)p.n] : 0;
        if (f.beta != 0) r.c[i] += (T)f.beta * (T)in.c[i];
        if (f.epilogue == QN_EPILOGUE_BIAS) r.c[i] += bias;
        if (f.epilogue == QN_EPILOGUE_DGELU) r.c[i] *= reference::dgelu(r.aux[i]);
        if (f.epilogue == QN_EPILOGUE_GELU) {
            r.aux[i] = r.c[i] + bias;
            r.c[i] = reference::gelu(r.aux[i]);
        }
    }
    if (is_bgrad(f)) {
        const auto &sums = f.epilogue == QN_EPILOGUE_BGRAD_A ? base.sums_a : base.sums_b;
        for (size_t i = 0; i < r.bias.size(); i++) r.bias[i] += sums[i];
    }
    return r;
}

qn_gemm_args arguments(const Product &p, const Finish &f) {
    qn_gemm_args args = {};
    args.transpose_a = p.transpose_a;
    args.transpose_b = p.transpose_b;
    args.beta = f.beta;
    args.epilogue = f.epilogue;
    args.compute = p.compute;
    return args;
}

// A tensor in the storage dtype, or in fp32 whatever that is.
class Chosen : public DeviceTensor<float> {
  public:
    Chosen(Device &d, bool wide, const std::vector<int64_t> &shape, Layout layout)
        : DeviceTensor(d, wide ? QN_F32 : d.storage, shape, layout) {}
};

// On the device; C is poisoned unless beta makes the product read it.
Result<float> run(Device &d, const Product &p, const Inputs &in, const Finish &f, bool wide_c) {
    const Layout layout = p.layout;
    Stored a(d, {in.a.rows, in.a.cols}, in.a.data, layout);
    Stored b(d, {in.b.rows, in.b.cols}, in.b.data, layout), aux(d, {p.m, p.n}, layout);
    Chosen c(d, wide_c, {p.m, p.n}, layout);
    Chosen bias(d, is_bgrad(f), {(int64_t)in.bias(f).size()}, layout);
    bias.write(in.bias(f));
    if (f.beta != 0) c.write(in.c);
    if (!writes_aux(f)) aux.write(in.aux);
    qn_gemm_args args = arguments(p, f);
    args.a = a;
    args.b = b;
    args.c = c;
    if (uses_bias(f)) args.bias = bias;
    if (writes_aux(f) || f.epilogue == QN_EPILOGUE_DGELU) args.aux = aux;
    Workspace workspace(d, d.ops().gemm_workspace(d.backend, &args));
    args.workspace = workspace.data();
    expect_ok(d.ops().gemm(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
    return {c.read(), aux.read(), bias.read()};
}

std::string describe(const Product &p, const Finish &f) {
    return "M=" + std::to_string(p.m) + " N=" + std::to_string(p.n) + " K=" + std::to_string(p.k) +
           (p.transpose_a ? " A'" : " A") + (p.transpose_b ? "·B'" : "·B") +
           (p.compute == QN_BF16 ? " bf16" : " fp32") +
           (p.layout == Layout::kAligned ? " aligned" : "") + " epilogue " +
           std::to_string(f.epilogue) + " beta " + std::to_string(f.beta) + (f.bias ? " bias" : "");
}

void check_finish(Device &d, const Product &p, const Inputs &in, const Result<double> &exact,
                  const Result<float> &plain, const Finish &f, bool wide_c) {
    Result<float> got = run(d, p, in, f, wide_c);
    expect_stored(wide_c ? QN_F32 : d.storage, "c", got.c, exact.c, plain.c);
    expect_stored(d.storage, "aux", got.aux, exact.aux, plain.aux);
    expect_accurate("bias", got.bias, exact.bias, plain.bias);
    if (p.m * p.n < 5000) return; // too small for a second thread
    Result<float> again = run(d, p, in, f, wide_c);
    expect_same_bits("c", got.c, again.c);
    expect_same_bits("bias", got.bias, again.bias);
}

// An emulated device is slow: it leaves out what is not for it.
void check_product(const Product &p, uint32_t seed, bool emulated = true) {
    const Inputs all(p, seed);
    on_each_backend([&](Device &d) {
        if (!d.computes(p.compute)) return;
        if (d.emulated && !emulated) return;
        const Inputs in = all.stored(d);
        Base<double> exact_base(p, in);
        Base<float> plain_base(p, in);
        for (const Finish &f : kFinishes) {
            SCOPED_TRACE(describe(p, f));
            Result<double> exact = finish(p, in, exact_base, f);
            Result<float> plain = finish(p, in, plain_base, f);
            const bool may_be_wide = f.epilogue == QN_EPILOGUE_NONE || is_bgrad(f);
            if (may_be_wide) check_finish(d, p, in, exact, plain, f, true);
            if (f.beta == 0 && (d.storage != QN_F32 || !may_be_wide))
                check_finish(d, p, in, exact, plain, f, false);
        }
    });
}

using Shapes = std::vector<std::array<int64_t, 3>>;

void check_shapes(const Shapes &shapes, qn_dtype compute, Layout layout) {
    uint32_t seed = 1;
    for (size_t i = 0; i < shapes.size(); i++)
        for (int transposes = 0; transposes < 4; transposes++) {
            const bool a = transposes & 1, b = transposes & 2, half = (a != b) == (i % 2);
            check_product({shapes[i][0], shapes[i][1], shapes[i][2], a, b, compute, layout}, seed++,
                          half);
        }
}

const Shapes kShapes = {{1, 1, 1}, {1, 7, 5},    {1, 200, 129}, {3, 1, 9}, {2, 5, 1},
                        {0, 3, 4}, {3, 0, 4},    {3, 4, 0},     {1, 3, 0}, {5, 33, 17},
                        {7, 8, 9}, {64, 31, 65}, {66, 130, 97}};

TEST(Gemm, Fp32) { check_shapes(kShapes, QN_F32, Layout::kPadded); }

TEST(Gemm, Bf16) { check_shapes(kShapes, QN_BF16, Layout::kPadded); }

// A little of everything, for slow builds.
TEST(Gemm, Ragged) {
    check_shapes({{5, 33, 17}, {18, 4, 0}, {3, 0, 4}, {18, 270, 40}}, QN_BF16, Layout::kPadded);
}

// Where a GPU takes 16 bytes at a time, and epilogues of its library.
TEST(Gemm, AlignedRows) {
    check_shapes({{1, 7, 5}, {3, 4, 0}, {5, 33, 17}, {24, 16, 32}, {66, 136, 97}}, QN_BF16,
                 Layout::kAligned);
}

// Dense rows on both sides, large enough that all threads have work.
TEST(Gemm, LargerThanOneTile) {
    check_product({151, 129, 130, true, false, QN_F32}, 99);
    check_product({129, 151, 130, false, true, QN_BF16}, 98);
}

// A sum of many like terms: a chain in fp32 loses digits that blocks keep.
TEST(Gemm, LongColumnSumsStayAccurate) {
    const int64_t k = 20000, m = 5;
    Random random(3);
    const std::vector<float> all = random.normal((size_t)(k * m), 0.1f, 1);
    on_each_backend([&](Device &d) {
        const std::vector<float> values = d.stored(all);
        std::vector<double> exact((size_t)m);
        for (size_t i = 0; i < values.size(); i++) exact[i % (size_t)m] += (double)values[i];
        for (bool transpose : {true, false}) {
            std::vector<float> stored = values;
            if (!transpose)
                for (int64_t i = 0; i < m; i++)
                    for (int64_t l = 0; l < k; l++)
                        stored[(size_t)(i * k + l)] = values[(size_t)(l * m + i)];
            Stored a(d, transpose ? std::vector<int64_t>{k, m} : std::vector<int64_t>{m, k},
                     stored);
            Stored b(d, {k, 1}, std::vector<float>((size_t)k));
            Floats c(d, {m, 1});
            Floats bias(d, {m}, std::vector<float>((size_t)m));
            qn_gemm_args args = {};
            args.a = a;
            args.b = b;
            args.c = c;
            args.bias = bias;
            args.transpose_a = transpose;
            args.epilogue = QN_EPILOGUE_BGRAD_A;
            args.compute = d.compute();
            Workspace workspace(d, d.ops().gemm_workspace(d.backend, &args));
            args.workspace = workspace.data();
            expect_ok(d.ops().gemm(d.stream, &args));
            expect_ulps("bias", bias.read(), exact, 2);
        }
    });
}

TEST(Gemm, NanAndInfinityComeThrough) {
    on_each_backend([&](Device &d) {
        for (qn_dtype compute : {QN_F32, QN_BF16}) {
            if (!d.computes(compute)) continue;
            Stored a(d, {2, 2}, {NAN, 0, INFINITY, 0}), b(d, {2, 2}, {1, 0, 0, 1}), c(d, {2, 2});
            qn_gemm_args args = {};
            args.a = a;
            args.b = b;
            args.c = c;
            args.compute = compute;
            Workspace workspace(d, d.ops().gemm_workspace(d.backend, &args));
            args.workspace = workspace.data();
            expect_ok(d.ops().gemm(d.stream, &args));
            std::vector<float> out = c.read();
            EXPECT_TRUE(std::isnan(out[0]));
            EXPECT_EQ(out[2], INFINITY);
        }
    });
}

// ---- the reference -------------------------------------------------------------------

TEST(GemmReference, DgeluIsTheDerivativeOfGelu) {
    std::vector<double> x, gradient;
    for (double at = -6; at <= 6; at += 0.37) x.push_back(at);
    for (double at : x) gradient.push_back(reference::dgelu(at));
    auto sum = [](const std::vector<double> &y) {
        double total = 0;
        for (double at : y) total += reference::gelu(at);
        return total;
    };
    expect_gradient("x", sum, x, gradient);
}

// ---- wrong arguments -----------------------------------------------------------------

struct Wrong {
    explicit Wrong(Device &d)
        : a(d, {3, 4}, std::vector<float>(12)), b(d, {4, 5}, std::vector<float>(20)), c(d, {3, 5}),
          short_row(d, {4}), ints(d, {3, 4}) {
        args.a = a;
        args.b = b;
        args.c = c;
        args.compute = d.compute();
        workspace.emplace(d, d.ops().gemm_workspace(d.backend, &args));
        args.workspace = workspace->data();
    }
    void expect(Device &d, qn_code code, const std::vector<std::string> &words) {
        expect_refused(d.ops().gemm(d.stream, &args), code, words);
        c.expect_untouched();
    }
    Stored a, b, c, short_row;
    Ints ints;
    std::optional<Workspace> workspace;
    qn_gemm_args args = {};
};

TEST(GemmArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](auto change, std::vector<std::string> words,
                          qn_code code = QN_CODE_INVALID) {
            Wrong w(d);
            change(w);
            words.push_back("gemm");
            w.expect(d, code, words);
        };
        refuse([](Wrong &w) { w.args.b.shape[0] = 3; }, {"b is (3,5)", "(4,5)"});
        refuse([](Wrong &w) { w.args.transpose_a = true; }, {"a is (3,4)"});
        refuse([](Wrong &w) { w.args.a = w.ints; }, {"a is int32", qn_dtype_name(d.storage)});
        refuse([](Wrong &w) { w.args.a.data = nullptr; }, {"a (3,4) has no data"});
        refuse([](Wrong &w) { w.args.b = absent(); }, {"b is missing"});
        refuse([](Wrong &w) { w.args.a.stride[1] = 2; }, {"a has stride 2"});
        refuse([](Wrong &w) { w.args.a.stride[0] = 3; }, {"a has row stride 3"});
        refuse([](Wrong &w) { w.args.c.shape[0] = -3; }, {"c is (-3,5)"});
        refuse([](Wrong &w) { w.args.epilogue = QN_EPILOGUE_BIAS; }, {"bias is missing", "(5)"});
        refuse([](Wrong &w) { w.args.epilogue = (qn_epilogue)17; }, {"epilogue 17"});
        refuse(
            [](Wrong &w) {
                w.args.epilogue = QN_EPILOGUE_BIAS;
                w.args.bias = w.short_row;
            },
            {"bias is (4)", "(5)"});
        refuse([](Wrong &w) { w.args.epilogue = QN_EPILOGUE_GELU; }, {"aux is missing"});
        refuse(
            [](Wrong &w) {
                w.args.epilogue = QN_EPILOGUE_DGELU;
                w.args.aux = w.c;
                w.args.beta = 1;
            },
            {"beta is 1"});
        refuse(
            [](Wrong &w) {
                w.args.epilogue = QN_EPILOGUE_BGRAD_B;
                w.args.bias = qn_tensor_1d(w.b.view.data, QN_BF16, 5);
            },
            {"bias is bf16", "fp32"});
        if (d.storage != QN_F32) refuse([](Wrong &w) { w.args.beta = 1; }, {"beta is 1", "bf16"});
        Wrong bf16(d);
        bf16.args.compute = QN_BF16;
        if (d.ops().gemm_workspace(d.backend, &bf16.args) > 0)
            refuse(
                [](Wrong &w) {
                    w.args.compute = QN_BF16;
                    w.args.workspace = nullptr;
                },
                {"workspace"});
        refuse([](Wrong &w) { w.args.compute = QN_I32; }, {"compute"}, QN_CODE_UNSUPPORTED);
    });
}

TEST(GemmArguments, SizesThatOverflowAreRefused) {
    on_each_backend([&](Device &d) {
        Wrong w(d);
        w.args.a.shape[0] = w.args.c.shape[0] = INT64_MAX / 4;
        expect_refused(d.ops().gemm(d.stream, &w.args), QN_CODE_INVALID, {"gemm", "bytes"});
        w.c.expect_untouched();
    });
}

} // namespace
