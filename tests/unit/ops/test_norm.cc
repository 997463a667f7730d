// test_norm.cc: RMSNorm and LayerNorm of rows and of heads, with and without residual, in
// each of the ways in which their arguments may share memory.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/norm_reference.h"
#include "harness/random.h"

using namespace harness;

namespace {

struct Shape {
    std::vector<int64_t> x;
    int64_t c() const { return x.back(); }
    std::vector<int64_t> rows() const { return {x.begin(), x.end() - 1}; }
    size_t n_rows() const {
        size_t n = 1;
        for (int64_t length : rows()) n *= (size_t)length;
        return n;
    }
    size_t numel() const { return n_rows() * (size_t)c(); }
};

const std::vector<Shape> kShapes = {{{1, 1}},    {{1, 7}},     {{3, 33}},    {{5, 64}},
                                    {{0, 8}},    {{4, 0}},     {{2, 3, 16}}, {{67, 3, 8}},
                                    {{1, 1, 5}}, {{150, 130}}, {{7, 1000}},  {{3, 0, 8}}};

// Rows of every length at which a GPU takes them otherwise, more than it takes at a time.
const std::vector<Shape> kLongShapes = {
    {{175, 3, 8}}, {{9, 5, 128}}, {{130, 136}}, {{17, 1032}},
    {{2, 4096}},   {{9, 8200}},   {{3, 12291}},
};

// How the tensors of a call lie: all alike, but for one.
struct Layouts {
    Layout most = Layout::kPadded;
    int unlike = -1; // the number of the tensor that is padded
    Layout of(int i) const { return i == unlike ? Layout::kPadded : most; }
};

// Thread counts make no difference to what long rows are for.
template <typename F> void on_backends_for(const Shape &s, F f) {
    if (s.numel() > 20000)
        on_each_dtype(f);
    else
        on_each_backend(f);
}

struct Inputs {
    Inputs(const Shape &s, uint32_t seed, float spread = 1, float mean = 0.5f) {
        Random random(seed);
        x = random.normal(s.numel(), spread, mean);
        residual = random.normal(s.numel());
        dout = random.normal(s.numel());
        dresidual = random.normal(s.numel());
        weight = random.normal((size_t)s.c(), 0.5f, 1);
        bias = random.normal((size_t)s.c());
        dweight = random.normal((size_t)s.c());
        dbias = random.normal((size_t)s.c());
    }
    // What storage leaves of what is stored.
    Inputs stored(const Device &d) const {
        Inputs in = *this;
        for (auto *x : {&in.x, &in.residual, &in.dout, &in.dresidual, &in.weight, &in.bias})
            *x = d.stored(*x);
        return in;
    }
    std::vector<float> x, residual, dout, dresidual, weight, bias, dweight, dbias;
};

constexpr float kEps = 1e-5f;

template <typename T>
reference::Norm<T> reference_of(bool centred, const Shape &s, const Inputs &in,
                                const std::vector<float> &x) {
    reference::Norm<T> r;
    r.centred = centred;
    r.c = (size_t)s.c();
    r.eps = kEps;
    r.x = convert<T>(x);
    r.weight = convert<T>(in.weight);
    r.bias = convert<T>(in.bias);
    r.dout = convert<T>(in.dout);
    if (s.numel() == 0) return r;
    r.forward();
    return r;
}

std::vector<float> added(const std::vector<float> &x, const std::vector<float> &y) {
    std::vector<float> sum(x);
    for (size_t i = 0; i < x.size(); i++) sum[i] += y[i];
    return sum;
}

// ---- forward ---------------------------------------------------------------------

enum class Sum { kNone, kOwn, kIsX, kIsResidual };

struct Forward {
    std::vector<float> out, sum, mean, rstd;
};

Forward run_forward(Device &d, bool centred, const Shape &s, const Inputs &in, Sum how,
                    bool in_place, const Layouts &layouts) {
    Stored x(d, s.x, in.x, layouts.of(0)), residual(d, s.x, in.residual, layouts.of(1));
    Stored sum(d, s.x, layouts.of(2)), out(d, s.x, layouts.of(3));
    Stored weight(d, {s.c()}, in.weight, layouts.of(4)), bias(d, {s.c()}, in.bias, layouts.of(5));
    Floats mean(d, s.rows()), rstd(d, s.rows());
    qn_norm_args args = {};
    args.x = x;
    args.weight = weight;
    args.out = in_place ? x.view : out.view;
    args.rstd = rstd;
    args.eps = kEps;
    if (centred) {
        args.bias = bias;
        args.mean = mean;
    }
    Stored &total = how == Sum::kIsX ? x : how == Sum::kIsResidual ? residual : sum;
    if (how != Sum::kNone) {
        args.residual = residual;
        args.sum = total;
    }
    expect_ok((centred ? d.ops().layernorm_forward : d.ops().rmsnorm_forward)(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    Forward f{in_place ? x.read() : out.read(), {}, {}, {}};
    if (s.numel() > 0) f.rstd = rstd.read();
    if (centred && s.numel() > 0) f.mean = mean.read();
    if (how != Sum::kNone) f.sum = total.read();
    return f;
}

void check_forward(bool centred, const Shape &s, Sum how, bool in_place, const Inputs &all,
                   const Layouts &layouts = {}) {
    on_backends_for(s, [&](Device &d) {
        const Inputs in = all.stored(d);
        std::vector<float> x = how == Sum::kNone ? in.x : d.stored(added(in.x, in.residual));
        auto exact = reference_of<double>(centred, s, in, x);
        auto plain = reference_of<float>(centred, s, in, x);
        Forward got = run_forward(d, centred, s, in, how, in_place, layouts);
        expect_stored(d.storage, "out", got.out, exact.out, plain.out);
        expect_accurate("rstd", got.rstd, exact.rstd, plain.rstd);
        if (centred) expect_accurate("mean", got.mean, exact.mean, plain.mean);
        if (how != Sum::kNone) expect_same_bits("sum", got.sum, x);
        expect_same_bits("out", got.out,
                         run_forward(d, centred, s, in, how, in_place, layouts).out);
    });
}

void check_forwards(bool centred, const Shape &s, const Inputs &in, const Layouts &layouts) {
    SCOPED_TRACE("rows " + std::to_string(s.n_rows()) + " of " + std::to_string(s.c()));
    check_forward(centred, s, Sum::kNone, false, in, layouts);
    check_forward(centred, s, Sum::kNone, true, in, layouts);
    if (s.x.size() != 2) return;
    for (Sum how : {Sum::kOwn, Sum::kIsX, Sum::kIsResidual})
        check_forward(centred, s, how, false, in, layouts);
}

// Of long rows the two cases that differ most.
void check_two_forwards(bool centred, const Shape &s, const Inputs &in, const Layouts &layouts) {
    SCOPED_TRACE("rows " + std::to_string(s.n_rows()) + " of " + std::to_string(s.c()));
    check_forward(centred, s, Sum::kNone, true, in, layouts);
    if (s.x.size() == 2) check_forward(centred, s, Sum::kOwn, false, in, layouts);
}

// Calls check for rows that are not aligned, and for rows that are.
template <typename Check>
void check_all(bool centred, const std::vector<Shape> &shapes, Check check) {
    uint32_t seed = 1;
    for (const Shape &s : shapes) {
        Inputs in(s, seed++);
        check(centred, s, in, Layouts{Layout::kPadded});
        if (s.c() % 8 == 0) check(centred, s, in, Layouts{Layout::kDense});
    }
}

TEST(Norm, RmsForward) { check_all(false, kShapes, check_forwards); }
TEST(Norm, LayerForward) { check_all(true, kShapes, check_forwards); }
TEST(Norm, RmsForwardOfLongRows) { check_all(false, kLongShapes, check_two_forwards); }
TEST(Norm, LayerForwardOfLongRows) { check_all(true, kLongShapes, check_two_forwards); }

// One of the tensors alone is not aligned.
TEST(Norm, ForwardWithOneTensorUnaligned) {
    const Shape s{{3, 72}};
    for (int unlike = 0; unlike < 6; unlike++)
        check_forward(true, s, Sum::kOwn, false, Inputs(s, 3), {Layout::kDense, unlike});
}

// The sum that is stored, normalised by itself.
TEST(Norm, NormalisesTheSumAsItIsStored) {
    on_each_dtype([&](Device &d) {
        for (const Shape &s : {Shape{{5, 300}}, Shape{{2, 8200}}})
            for (bool centred : {false, true}) {
                Inputs in = Inputs(s, 4).stored(d);
                Forward both = run_forward(d, centred, s, in, Sum::kOwn, false, {});
                in.x = both.sum;
                Forward alone = run_forward(d, centred, s, in, Sum::kNone, false, {});
                expect_same_bits("out", both.out, alone.out);
                expect_same_bits("rstd", both.rstd, alone.rstd);
            }
    });
}

// Rows of very large, very small and nearly constant numbers.
TEST(Norm, ExtremeRows) {
    const Shape s{{3, 200}};
    const float cases[][2] = {{1e15f, 0}, {1e-15f, 0}, {1, 1e4f}, {0, 3}};
    for (const auto &c : cases)
        for (bool centred : {false, true}) {
            SCOPED_TRACE("spread " + std::to_string(c[0]) + " mean " + std::to_string(c[1]));
            check_forward(centred, s, Sum::kNone, false, Inputs(s, 7, c[0], c[1]));
        }
}

// ---- backward ---------------------------------------------------------------------

enum class Dx { kOwn, kIsDout, kIsDresidual };

struct Backward {
    std::vector<float> dx, dweight, dbias;
};

Backward run_backward(Device &d, bool centred, const Shape &s, const Inputs &in,
                      const std::vector<float> &mean_in, const std::vector<float> &rstd_in,
                      bool has_dresidual, Dx how, const Layouts &layouts) {
    Stored x(d, s.x, in.x, layouts.of(0)), dout(d, s.x, in.dout, layouts.of(1));
    Stored dresidual(d, s.x, in.dresidual, layouts.of(2)), own(d, s.x, layouts.of(3));
    Stored weight(d, {s.c()}, in.weight, layouts.of(4));
    Floats dweight(d, {s.c()}, in.dweight);
    Floats dbias(d, {s.c()}, in.dbias), mean(d, s.rows(), mean_in), rstd(d, s.rows(), rstd_in);
    Stored &dx = how == Dx::kOwn ? own : how == Dx::kIsDout ? dout : dresidual;
    qn_norm_args args = {};
    args.x = x;
    args.weight = weight;
    args.rstd = rstd;
    args.dout = dout;
    args.dx = dx;
    args.dweight = dweight;
    if (has_dresidual) args.dresidual = dresidual;
    if (centred) {
        args.mean = mean;
        args.dbias = dbias;
    }
    Workspace workspace(d, d.ops().norm_backward_workspace(d.backend, &args));
    args.workspace = workspace.data();
    expect_ok((centred ? d.ops().layernorm_backward : d.ops().rmsnorm_backward)(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
    return {dx.read(), dweight.read(), dbias.read()};
}

template <typename T>
reference::Norm<T> backward_reference(bool centred, const Shape &s, const Inputs &in,
                                      const std::vector<float> &mean,
                                      const std::vector<float> &rstd, bool has_dresidual) {
    auto r = reference_of<T>(centred, s, in, in.x);
    r.dx.assign(s.numel(), 0);
    r.dweight.assign((size_t)s.c(), 0);
    r.dbias.assign((size_t)s.c(), 0);
    if (s.numel() > 0) {
        if (centred) r.mean = convert<T>(mean);
        r.rstd = convert<T>(rstd);
        r.backward();
    }
    for (size_t i = 0; has_dresidual && i < r.dx.size(); i++) r.dx[i] += (T)in.dresidual[i];
    for (size_t j = 0; j < (size_t)s.c(); j++) {
        r.dweight[j] += (T)in.dweight[j];
        r.dbias[j] = (T)in.dbias[j] + (centred ? r.dbias[j] : 0);
    }
    return r;
}

void check_backward_on(Device &d, bool centred, const Shape &s, const Inputs &in,
                       bool has_dresidual, Dx how, const Layouts &layouts) {
    auto forward = reference_of<double>(centred, s, in, in.x);
    size_t rows = s.numel() ? 0 : s.n_rows();
    std::vector<float> mean = convert<float>(forward.mean), rstd = convert<float>(forward.rstd);
    mean.resize(mean.size() + rows);
    rstd.resize(rstd.size() + rows);
    auto exact = backward_reference<double>(centred, s, in, mean, rstd, has_dresidual);
    auto plain = backward_reference<float>(centred, s, in, mean, rstd, has_dresidual);
    double term = 0; // a row of one element cancels to nothing
    for (size_t i = 0; i < in.dout.size(); i++)
        term = std::max(term, std::fabs((double)in.dout[i] * exact.weight[i % exact.c] *
                                        exact.rstd[i / exact.c]));
    auto run = [&] {
        return run_backward(d, centred, s, in, mean, rstd, has_dresidual, how, layouts);
    };
    Backward got = run(), again = run();
    expect_stored(d.storage, "dx", got.dx, exact.dx, plain.dx, term);
    expect_accurate("dweight", got.dweight, exact.dweight, plain.dweight);
    expect_accurate("dbias", got.dbias, exact.dbias, plain.dbias);
    expect_same_bits("dx", got.dx, again.dx);
    expect_same_bits("dweight", got.dweight, again.dweight);
    expect_same_bits("dbias", got.dbias, again.dbias);
}

void check_backward(bool centred, const Shape &s, const Inputs &in, bool has_dresidual, Dx how,
                    const Layouts &layouts = {}) {
    on_backends_for(s, [&](Device &d) {
        check_backward_on(d, centred, s, in.stored(d), has_dresidual, how, layouts);
    });
}

void check_backwards(bool centred, const Shape &s, const Inputs &in, const Layouts &layouts) {
    SCOPED_TRACE("rows " + std::to_string(s.n_rows()) + " of " + std::to_string(s.c()));
    for (bool has_dresidual : {false, true})
        for (Dx how : {Dx::kOwn, Dx::kIsDout, Dx::kIsDresidual})
            if (has_dresidual || how != Dx::kIsDresidual)
                check_backward(centred, s, in, has_dresidual, how, layouts);
}

void check_two_backwards(bool centred, const Shape &s, const Inputs &in, const Layouts &layouts) {
    SCOPED_TRACE("rows " + std::to_string(s.n_rows()) + " of " + std::to_string(s.c()));
    check_backward(centred, s, in, false, Dx::kOwn, layouts);
    check_backward(centred, s, in, true, Dx::kIsDresidual, layouts);
}

TEST(Norm, RmsBackward) { check_all(false, kShapes, check_backwards); }
TEST(Norm, LayerBackward) { check_all(true, kShapes, check_backwards); }
TEST(Norm, RmsBackwardOfLongRows) { check_all(false, kLongShapes, check_two_backwards); }
TEST(Norm, LayerBackwardOfLongRows) { check_all(true, kLongShapes, check_two_backwards); }

// One of the tensors alone is not aligned.
TEST(Norm, BackwardWithOneTensorUnaligned) {
    const Shape s{{3, 72}};
    for (int unlike = 0; unlike < 5; unlike++)
        check_backward(true, s, Inputs(s, 3), true, Dx::kOwn, {Layout::kDense, unlike});
}

// ---- heads between others ---------------------------------------------------------------

// The first heads of a buffer of queries, keys and values, normalised in place.
TEST(Norm, HeadsOfALargerBuffer) {
    const int64_t tokens = 5, heads = 3, all_heads = 5, dim = 64;
    const std::vector<float> values = Random(9).normal((size_t)(tokens * all_heads * dim));
    on_each_dtype([&](Device &d) {
        const std::vector<float> buffer = d.stored(values);
        const Inputs in = Inputs({{tokens, heads, dim}}, 10).stored(d);
        Stored qkv(d, {tokens, all_heads, dim}, buffer, Layout::kDense);
        Stored weight(d, {dim}, in.weight, Layout::kDense);
        Floats rstd(d, {tokens, heads});
        qn_norm_args args = {};
        args.x = qkv;
        args.x.shape[1] = heads;
        args.out = args.x;
        args.weight = weight;
        args.rstd = rstd;
        args.eps = kEps;
        expect_ok(d.ops().rmsnorm_forward(d.stream, &args));
        std::vector<float> got = qkv.read(), x, out;
        for (size_t i = 0; i < got.size(); i++)
            if (i / (size_t)dim % (size_t)all_heads < (size_t)heads) {
                x.push_back(buffer[i]);
                out.push_back(got[i]);
            } else {
                EXPECT_EQ(got[i], buffer[i]) << i;
            }
        const Shape s{{tokens, heads, dim}};
        expect_stored(d.storage, "out", out, reference_of<double>(false, s, in, x).out,
                      reference_of<float>(false, s, in, x).out);
    });
}

// ---- the reference ---------------------------------------------------------------------

TEST(NormReference, GradientsAreFiniteDifferences) {
    const Shape s{{3, 7}};
    for (bool centred : {false, true}) {
        Inputs in(s, 11);
        auto r = reference_of<double>(centred, s, in, in.x);
        r.backward();
        auto loss = [&](std::vector<double> reference::Norm<double>::*which) {
            return [&r, which](const std::vector<double> &value) {
                auto moved = r;
                moved.*which = value;
                moved.forward();
                return dot(moved.out, r.dout);
            };
        };
        expect_gradient("x", loss(&reference::Norm<double>::x), r.x, r.dx);
        expect_gradient("weight", loss(&reference::Norm<double>::weight), r.weight, r.dweight);
        if (centred) expect_gradient("bias", loss(&reference::Norm<double>::bias), r.bias, r.dbias);
    }
}

// ---- wrong arguments --------------------------------------------------------------------

struct Wrong {
    explicit Wrong(Device &d)
        : x(d, {2, 3}, std::vector<float>(6)), weight(d, {3}, std::vector<float>(3)),
          out(d, {2, 3}), rstd(d, {2}), dweight(d, {3}) {
        args.x = x;
        args.weight = weight;
        args.out = args.dx = out;
        args.dout = x;
        args.rstd = rstd;
        args.dweight = dweight;
        args.eps = kEps;
    }
    void expect_untouched() const {
        out.expect_untouched();
        rstd.expect_untouched();
        dweight.expect_untouched();
    }
    Stored x, weight, out;
    Floats rstd, dweight;
    qn_norm_args args = {};
};

TEST(NormArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](auto op, auto change, std::vector<std::string> words) {
            Wrong w(d);
            change(w);
            expect_refused(op(d.stream, &w.args), QN_CODE_INVALID, words);
            w.expect_untouched();
        };
        auto forward = d.ops().rmsnorm_forward, backward = d.ops().rmsnorm_backward;
        auto layer = d.ops().layernorm_forward, layer_backward = d.ops().layernorm_backward;
        refuse(forward, [](Wrong &w) { w.args.weight.shape[0] = 2; },
               {"rmsnorm_forward", "weight is (2)", "(3)"});
        refuse(forward, [](Wrong &w) { w.args.out.shape[1] = 2; }, {"out is (2,2)", "(2,3)"});
        refuse(forward, [](Wrong &w) { w.args.rstd.shape[0] = 1; }, {"rstd is (1)"});
        refuse(forward, [](Wrong &w) { w.args.x.dtype = QN_F16; }, {"x is fp16"});
        refuse(forward, [](Wrong &w) { w.args.rstd.dtype = QN_BF16; }, {"rstd is bf16", "fp32"});
        refuse(backward, [](Wrong &w) { w.args.dweight.dtype = QN_BF16; },
               {"dweight is bf16", "fp32"});
        refuse(forward, [](Wrong &w) { w.args.residual = w.x; }, {"sum is missing"});
        refuse(forward, [](Wrong &w) { w.args.eps = -1; }, {"eps is -1"});
        refuse(forward, [](Wrong &w) { w.args.eps = NAN; }, {"eps"});
        refuse(layer, [](Wrong &) {}, {"layernorm_forward", "bias is missing"});
        refuse(backward, [](Wrong &) {}, {"rmsnorm_backward", "workspace"});
        refuse(backward, [](Wrong &w) { w.args.workspace = (void *)8; }, {"workspace", "aligned"});
        refuse(backward, [](Wrong &w) { w.args.dweight = absent(); }, {"dweight is missing"});
        refuse(backward, [](Wrong &w) { w.args.dout.shape[0] = 5; }, {"dout is (5,3)"});
        refuse(layer_backward, [](Wrong &) {}, {"layernorm_backward", "mean is missing"});
    });
}

} // namespace
