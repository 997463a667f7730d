// test_classifier.cc: cross-entropy over the vocabulary: losses and gradients.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/gemm_reference.h"
#include "harness/random.h"

using namespace harness;
using reference::Matrix;

namespace {

struct Case {
    int64_t n, c, v;
    std::vector<float> x, weight;
    std::vector<int32_t> targets;
    float grad_scale = 0.25f;
    qn_dtype compute = QN_F32;
    int64_t padding = 0; // rows of the table that are no words
};

Case make_case(int64_t n, int64_t c, int64_t v, uint32_t seed, float spread = 1) {
    Random random(seed);
    Case k{n,
           c,
           v,
           random.normal((size_t)(n * c), spread),
           random.normal((size_t)(v * c)),
           random.integers((size_t)n, 0, (int32_t)v)};
    for (size_t i = 2; i < k.targets.size(); i += 5) k.targets[i] = -1; // ignored
    return k;
}

// What storage and compute leave of the inputs.
Case rounded(const Device &d, Case k) {
    k.x = harness::rounded(k.compute, d.stored(k.x));
    k.weight = harness::rounded(k.compute, d.stored(k.weight));
    return k;
}

template <typename T> struct Result {
    std::vector<T> losses, dx, dweight; // dweight: what is added
};

// The plain computation in bf16 rounds the gradient of the logits on its way into products.
template <typename T>
Result<T> classifier_reference(const Case &k, const std::vector<T> &x, const std::vector<T> &weight,
                               bool round_logits = false) {
    const Matrix<T> mx{k.n, k.c, x}, mw{k.v, k.c, weight};
    std::vector<T> logits = reference::product(mx, false, mw, true);
    Result<T> r{std::vector<T>((size_t)k.n), {}, {}};
    for (int64_t n = 0; n < k.n; n++) {
        T *row = logits.data() + n * k.v, most = row[0], sum = 0;
        int32_t target = k.targets[(size_t)n];
        for (int64_t j = 0; j < k.v; j++) most = std::max(most, row[j]);
        for (int64_t j = 0; j < k.v; j++) sum += std::exp(row[j] - most);
        if (target >= 0) r.losses[(size_t)n] = std::log(sum) - (row[target] - most);
        for (int64_t j = 0; j < k.v; j++) {
            T p = std::exp(row[j] - most) / sum;
            row[j] = target < 0 ? 0 : (T)k.grad_scale * (p - (j == target ? 1 : 0));
            if (round_logits) row[j] = (T)qn_round_bf16((float)row[j]);
        }
    }
    const Matrix<T> md{k.n, k.v, logits};
    r.dweight = reference::product(md, true, mx, false);
    r.dx = reference::product(md, false, mw, false);
    return r;
}

Result<double> exact_result(const Case &k) {
    return classifier_reference(k, convert<double>(k.x), convert<double>(k.weight));
}
Result<float> plain_result(const Case &k) {
    return classifier_reference(k, k.x, k.weight, k.compute == QN_BF16);
}

struct Options {
    bool dx = true, dweight = true, in_place = false;
};

struct Got {
    std::vector<float> losses, dx, dweight;
};

// Behind the words' rows come those of none, which have `value`.
std::vector<float> with_padding(const Case &k, std::vector<float> rows, float value) {
    rows.resize((size_t)((k.v + k.padding) * k.c), value);
    return rows;
}

// Takes the padding off a gradient that was `value` there, and that nothing was added to.
std::vector<float> without_padding(const Case &k, std::vector<float> rows, float value) {
    for (size_t i = (size_t)(k.v * k.c); i < rows.size(); i++) EXPECT_EQ(rows[i], value) << i;
    rows.resize((size_t)(k.v * k.c));
    return rows;
}

Got run(Device &d, const Case &k, const std::vector<float> &dweight_before, Options o) {
    const float there = 3; // in the gradient of no word
    const int64_t rows = k.v + k.padding;
    Stored x(d, {k.n, k.c}, k.x), weight(d, {rows, k.c}, with_padding(k, k.weight, 0));
    Stored own(d, {k.n, k.c});
    Floats losses(d, {k.n}), dweight(d, {rows, k.c}, with_padding(k, dweight_before, there));
    Ints targets(d, {k.n}, k.targets);
    qn_classifier_args args = {};
    args.x = x;
    args.weight = weight;
    args.vocab_size = k.v;
    args.targets = targets;
    args.losses = losses;
    args.grad_scale = k.grad_scale;
    args.compute = k.compute;
    if (o.dx) args.dx = o.in_place ? x.view : own.view;
    if (o.dweight) args.dweight = dweight;
    Workspace workspace(d, d.ops().classifier_workspace(d.backend, &args));
    args.workspace = workspace.data();
    expect_ok(d.ops().classifier(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
    Got got{losses.read(), o.in_place ? x.read() : own.read(),
            without_padding(k, dweight.read(), there)};
    if (!o.dx) own.expect_untouched();
    if (!o.dx || !o.dweight) dweight.expect_untouched();
    return got;
}

void check_on(Device &d, const Case &k) {
    auto exact = exact_result(k);
    auto plain = plain_result(k);
    std::vector<float> before = Random(17).normal((size_t)(k.v * k.c), 0.1f);
    for (size_t i = 0; i < before.size(); i++) {
        exact.dweight[i] += before[i];
        plain.dweight[i] += before[i];
    }
    Got got = run(d, k, before, {});
    expect_accurate("losses", got.losses, exact.losses, plain.losses);
    expect_stored(d.storage, "dx", got.dx, exact.dx, plain.dx);
    expect_accurate("dweight", got.dweight, exact.dweight, plain.dweight);
    Got in_place = run(d, k, before, {true, true, true});
    expect_same_bits("dx", got.dx, in_place.dx);
    expect_same_bits("dweight", got.dweight, in_place.dweight);
    expect_same_bits("losses", got.losses, run(d, k, before, {false, true}).losses);
    expect_same_bits("dx", got.dx, run(d, k, before, {true, false}).dx);
}

void check(const Case &k) {
    SCOPED_TRACE("N=" + std::to_string(k.n) + " C=" + std::to_string(k.c) +
                 " V=" + std::to_string(k.v) + (k.compute == QN_BF16 ? " bf16" : ""));
    on_each_backend([&](Device &d) {
        if (d.computes(k.compute)) check_on(d, rounded(d, k));
    });
}

void check_shapes(qn_dtype compute) {
    const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 1}, {1, 8, 17},  {7, 16, 33},
                                 {0, 4, 5}, {3, 0, 5}, {30, 24, 1}, {33, 64, 203}};
    uint32_t seed = 1;
    for (const auto &s : shapes) {
        Case k = make_case(s[0], s[1], s[2], seed++);
        k.compute = compute;
        check(k);
    }
}

TEST(Classifier, Fp32) { check_shapes(QN_F32); }
TEST(Classifier, Bf16) { check_shapes(QN_BF16); }

// More tokens than one chunk holds: of the CPU's, and of a GPU's.
TEST(Classifier, SeveralChunks) {
    on_each_dtype([&](Device &d) {
        for (Case k : {make_case(700, 4, 5000, 3), make_case(1100, 4, 50, 4)}) {
            if (d.emulated && k.v > 50) continue; // slow
            k.compute = d.compute();
            check_on(d, rounded(d, k));
        }
    });
}

// Rows of the table that are no words: within a vector of 8 logits, of several, and in a step of
// their own of a block of threads; tokens that are ignored among the others.
TEST(Classifier, PaddedTable) {
    const int64_t shapes[][4] = {{7, 16, 61, 3}, {7, 16, 57, 71}, {5, 8, 2047, 65}, {3, 8, 1, 63}};
    uint32_t seed = 21;
    for (const auto &s : shapes) {
        Case k = make_case(s[0], s[1], s[2], seed++);
        k.padding = s[3];
        k.targets[0] = (int32_t)k.v - 1;
        on_each_dtype([&](Device &d) {
            k.compute = d.compute();
            check_on(d, rounded(d, k));
        });
    }
}

// Logits of no word are 0, far above those of the words here.
TEST(Classifier, PaddedTableOfUnlikelyWords) {
    on_each_dtype([&](Device &d) {
        Case k = make_case(9, 4, 13, 31);
        for (float &x : k.x) x = std::fabs(x) * 50 + 50;
        for (float &w : k.weight) w = -std::fabs(w) - 1;
        k.padding = 51;
        k.compute = d.compute();
        check_on(d, rounded(d, k));
    });
}

// More words than a block of threads takes at a time, and no multiple of 8.
TEST(Classifier, LargeVocabulary) {
    on_each_dtype([&](Device &d) {
        Case k = make_case(12, 4, 5003, 6);
        k.targets[0] = 5002;
        k.compute = d.compute();
        check_on(d, rounded(d, k));
    });
}

// Where the host cannot read them: nothing outside is touched, and the loss says so.
TEST(Classifier, TargetsOutsideTheVocabularyGiveNan) {
    on_each_backend([&](Device &d) {
        if (d.sees_indices) return;
        for (int32_t target : {64, 65, 128, INT32_MAX}) {
            Case k = make_case(3, 8, 64, 9);
            k.compute = d.compute();
            k.targets = {1, target, 2};
            k.padding = 8; // rows that are there, but no words
            Got got = run(d, rounded(d, k), std::vector<float>(512), {true, false});
            EXPECT_TRUE(std::isnan(got.losses[1]));
            EXPECT_TRUE(std::isfinite(got.losses[0]) && std::isfinite(got.losses[2]));
            for (size_t i = 0; i < got.dx.size(); i++)
                EXPECT_EQ(std::isnan(got.dx[i]), i / 8 == 1) << i;
        }
    });
}

TEST(Classifier, HugeLogits) {
    for (float spread : {100.0f, 10000.0f})
        on_each_backend([&](Device &d) {
            Case k = make_case(40, 8, 50, 5, spread);
            k.compute = d.compute();
            k = rounded(d, k);
            auto exact = exact_result(k);
            auto plain = plain_result(k);
            Got got = run(d, k, std::vector<float>(k.weight.size()), {});
            expect_accurate("losses", got.losses, exact.losses, plain.losses);
            expect_stored(d.storage, "dx", got.dx, exact.dx, plain.dx);
        });
}

// Logits of 10⁴ that differ by little: the loss must not lose the difference.
TEST(Classifier, LargeOffsetKeepsTheDigitsOfTheLoss) {
    on_each_backend([&](Device &d) {
        Case k{1, 1, 2, {1}, {9984, 9984}, {0}}; // which bf16 holds
        k.compute = d.compute();
        Got got = run(d, k, {0, 0}, {});
        EXPECT_FLOAT_EQ(got.losses[0], (float)std::log(2.0));
    });
}

TEST(Classifier, AllIgnoredGivesZeros) {
    Case k = make_case(9, 4, 6, 1);
    k.targets.assign(9, -100);
    k.padding = 58;
    k.x[3] = NAN; // not even this comes through
    on_each_backend([&](Device &d) {
        k.compute = d.compute();
        Got got = run(d, rounded(d, k), std::vector<float>(24, 3), {true, false});
        for (float loss : got.losses) EXPECT_EQ(loss, 0);
        for (float dx : got.dx) EXPECT_EQ(dx, 0);
    });
}

TEST(Classifier, NanInputGivesNanLoss) {
    Case k = make_case(2, 4, 6, 1);
    k.x[5] = NAN;
    on_each_backend([&](Device &d) {
        k.compute = d.compute();
        Got got = run(d, rounded(d, k), std::vector<float>(24), {false, false});
        EXPECT_TRUE(std::isfinite(got.losses[0]));
        EXPECT_TRUE(std::isnan(got.losses[1]));
    });
}

TEST(ClassifierReference, GradientsAreFiniteDifferences) {
    Case k = make_case(4, 3, 5, 8);
    auto x = convert<double>(k.x), weight = convert<double>(k.weight);
    auto r = classifier_reference(k, x, weight);
    auto total = [&](const std::vector<double> &at_x, const std::vector<double> &at_weight) {
        double sum = 0;
        for (double loss : classifier_reference(k, at_x, at_weight).losses) sum += loss;
        return (double)k.grad_scale * sum;
    };
    expect_gradient(
        "x", [&](const auto &at) { return total(at, weight); }, x, r.dx);
    expect_gradient(
        "weight", [&](const auto &at) { return total(x, at); }, weight, r.dweight);
}

TEST(ClassifierArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](auto change, std::vector<std::string> words,
                          qn_code code = QN_CODE_INVALID) {
            Stored x(d, {2, 3}, std::vector<float>(6)), weight(d, {4, 3}, std::vector<float>(12));
            Stored dx(d, {2, 3});
            Floats losses(d, {2}), dweight(d, {4, 3});
            Ints targets(d, {2}, {0, 3});
            qn_classifier_args args = {};
            args.x = x;
            args.weight = weight;
            args.vocab_size = 4;
            args.targets = targets;
            args.losses = losses;
            args.dx = dx;
            args.dweight = dweight;
            args.compute = d.compute();
            Workspace workspace(d, d.ops().classifier_workspace(d.backend, &args));
            args.workspace = workspace.data();
            change(args, targets);
            words.push_back("classifier");
            expect_refused(d.ops().classifier(d.stream, &args), code, words);
            losses.expect_untouched();
            dx.expect_untouched();
            dweight.expect_untouched();
        };
        using Args = qn_classifier_args;
        refuse([](Args &a, Ints &) { a.weight.shape[1] = 2; }, {"weight is (4,2)", "(*,3)"});
        refuse([](Args &a, Ints &) { a.losses.shape[0] = 1; }, {"losses is (1)"});
        refuse([](Args &a, Ints &) { a.dx.shape[1] = 2; }, {"dx is (2,2)"});
        refuse([](Args &a, Ints &) { a.dweight.shape[0] = 3; }, {"dweight is (3,3)"});
        refuse([](Args &a, Ints &) { a.dweight.stride[0] = 0; }, {"dweight", "row stride 0"});
        refuse([](Args &a, Ints &) { a.targets = a.losses; }, {"targets is fp32"});
        refuse([](Args &a, Ints &) { a.dweight.dtype = QN_BF16; }, {"dweight is bf16", "fp32"});
        for (int64_t words : {-1, 0, 5})
            refuse([&](Args &a, Ints &) { a.vocab_size = words; },
                   {"vocab_size is " + std::to_string(words), "1 to the 4 rows"});
        if (d.sees_indices) {
            refuse([](Args &, Ints &t) { t.write({1, 4}); }, {"target 4 at 1", "4)"});
            refuse([](Args &a, Ints &) { a.vocab_size = 3; }, {"target 3 at 1", "3)"});
        }
        refuse([](Args &a, Ints &) { a.workspace = nullptr; }, {"workspace is missing"});
        refuse([](Args &a, Ints &) { a.compute = QN_F64; }, {"compute"}, QN_CODE_UNSUPPORTED);
    });
}

} // namespace
