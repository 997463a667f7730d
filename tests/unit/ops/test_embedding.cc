// test_embedding.cc: rows of tables by index, and the sums that are their gradients.
#include <numeric>

#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/random.h"

using namespace harness;

namespace {

struct Case {
    int64_t n, c, v, p;
    std::vector<int32_t> tokens, positions;
};

Case make_case(int64_t n, int64_t c, int64_t v, int64_t p) {
    Random random((uint32_t)(n + c));
    return {n,
            c,
            v,
            p,
            random.integers((size_t)n, 0, (int32_t)v),
            random.integers((size_t)n, 0, (int32_t)p)};
}

const int64_t kShapes[][4] = {{1, 1, 1, 1},          {5, 3, 2, 7},       {40, 17, 9, 40},
                              {0, 4, 3, 2},          {3, 0, 3, 2},       {300, 64, 7, 9},
                              {257, 129, 1000, 257}, {600, 264, 30, 600}};

TEST(Embedding, ForwardCopiesAndAddsRows) {
    for (const auto &s : kShapes) {
        Case k = make_case(s[0], s[1], s[2], s[3]);
        for (auto [has_wpe, layout] : {std::pair{false, Layout::kPadded},
                                       {true, Layout::kPadded},
                                       {false, Layout::kDense},
                                       {true, Layout::kDense}}) {
            on_each_backend([&, has_wpe = has_wpe, layout = layout](Device &d) {
                Random random(1);
                auto wte = d.stored(random.normal((size_t)(k.v * k.c)));
                auto wpe = d.stored(random.normal((size_t)(k.p * k.c)));
                std::vector<float> want;
                for (int64_t n = 0; n < k.n; n++)
                    for (int64_t j = 0; j < k.c; j++) {
                        float row = wte[(size_t)(k.tokens[(size_t)n] * k.c + j)];
                        float position = wpe[(size_t)(k.positions[(size_t)n] * k.c + j)];
                        want.push_back(has_wpe ? row + position : row);
                    }
                Ints tokens(d, {k.n}, k.tokens), positions(d, {k.n}, k.positions);
                Stored dwte(d, {k.v, k.c}, wte, layout), dwpe(d, {k.p, k.c}, wpe, layout);
                Stored out(d, {k.n, k.c}, layout);
                qn_embedding_args args = {};
                args.tokens = tokens;
                args.wte = dwte;
                args.out = out;
                if (has_wpe) {
                    args.positions = positions;
                    args.wpe = dwpe;
                }
                expect_ok(d.ops().embedding_forward(d.stream, &args));
                expect_same_bits("out", out.read(), d.stored(want));
            });
        }
    }
}

template <typename T>
std::vector<T> scatter_reference(const std::vector<int32_t> &index, int64_t c,
                                 const std::vector<float> &dout, const std::vector<float> &before) {
    std::vector<T> table = convert<T>(before);
    for (size_t i = 0; i < dout.size(); i++)
        table[(size_t)(index[i / (size_t)c] * c) + i % (size_t)c] += (T)dout[i];
    return table;
}

struct Gradients {
    std::vector<float> wte, wpe;
};

// A table of gradients in memory that goes on with a row of numbers.
struct GradientTable {
    GradientTable(Device &d, int64_t rows, int64_t c, std::vector<float> before, Layout layout)
        : behind((size_t)c, 3), memory(d, {rows + 1, c}, with(before), layout), view(memory) {
        view.shape[0] = rows;
    }
    std::vector<float> with(std::vector<float> x) const {
        x.insert(x.end(), behind.begin(), behind.end());
        return x;
    }
    std::vector<float> read() const {
        std::vector<float> x = memory.read();
        const std::vector<float> last(x.end() - (int64_t)behind.size(), x.end());
        EXPECT_EQ(last, behind) << "written behind the table";
        x.resize(x.size() - behind.size());
        return x;
    }
    std::vector<float> behind;
    Floats memory;
    qn_tensor view;
};

// Of one call that adds to wte and wpe; without positions wpe stays untouched.
Gradients run_backward(Device &d, const Case &k, const std::vector<float> &dout, bool has_wpe,
                       Layout layout, const Gradients &before) {
    Ints tokens(d, {k.n}, k.tokens), positions(d, {k.n}, k.positions);
    GradientTable dwte(d, k.v, k.c, before.wte, layout), dwpe(d, k.p, k.c, before.wpe, layout);
    Stored in(d, {k.n, k.c}, dout, layout);
    qn_embedding_args args = {};
    args.tokens = tokens;
    args.dout = in;
    args.dwte = dwte.view;
    if (has_wpe) {
        args.positions = positions;
        args.dwpe = dwpe.view;
    }
    Workspace workspace(d, d.ops().embedding_backward_workspace(d.backend, &args));
    args.workspace = workspace.data();
    expect_ok(d.ops().embedding_backward(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
    if (!has_wpe) dwpe.memory.expect_untouched();
    return {dwte.read(), dwpe.read()};
}

void expect_gradients(const Case &k, bool has_wpe, Layout layout) {
    Random random(2);
    const auto all = random.normal((size_t)(k.n * k.c));
    const Gradients before = {random.normal((size_t)(k.v * k.c)),
                              random.normal((size_t)(k.p * k.c))};
    on_each_backend([&](Device &d) {
        const auto dout = d.stored(all);
        const Gradients got = run_backward(d, k, dout, has_wpe, layout, before);
        expect_accurate("dwte", got.wte, scatter_reference<double>(k.tokens, k.c, dout, before.wte),
                        scatter_reference<float>(k.tokens, k.c, dout, before.wte));
        if (!has_wpe) return;
        expect_accurate("dwpe", got.wpe,
                        scatter_reference<double>(k.positions, k.c, dout, before.wpe),
                        scatter_reference<float>(k.positions, k.c, dout, before.wpe));
        expect_same_bits("dwte", got.wte, run_backward(d, k, dout, false, layout, before).wte);
    });
}

TEST(Embedding, BackwardAddsToEveryRow) {
    for (const auto &s : kShapes)
        for (Layout layout : {Layout::kPadded, Layout::kDense})
            expect_gradients(make_case(s[0], s[1], s[2], s[3]), true, layout);
}

// All positions 0: of a table of one row.
Case case_of_tokens(std::vector<int32_t> tokens, int64_t c, int64_t v) {
    const int64_t n = (int64_t)tokens.size();
    return {n, c, v, 1, std::move(tokens), std::vector<int32_t>((size_t)n)};
}

TEST(EmbeddingBackward, TokensAllEqual) {
    for (int64_t n : {31, 32, 33, 64, 65, 700})
        for (int32_t token : {0, 4})
            expect_gradients(case_of_tokens(std::vector<int32_t>((size_t)n, token), 8, 5), false,
                             Layout::kDense);
}

TEST(EmbeddingBackward, TokensAllDistinct) {
    std::vector<int32_t> tokens(1100);
    for (size_t i = 0; i < tokens.size(); i++) tokens[i] = (int32_t)(i * 389 % tokens.size());
    expect_gradients(case_of_tokens(tokens, 8, 1100), false, Layout::kDense);
}

// One token makes half of a batch; the others occur as chance has it, the ends of the table among
// them. Columns of more than one warp, the last one's not full.
TEST(EmbeddingBackward, OneLongRunAmongOthers) {
    const int32_t v = 3000;
    std::vector<int32_t> tokens = Random(5).integers(1500, 0, v);
    for (size_t i = 0; i < tokens.size(); i += 2) tokens[i] = 1234;
    tokens[1] = tokens[1499] = 0;
    tokens[3] = tokens[501] = v - 1;
    for (Layout layout : {Layout::kPadded, Layout::kDense})
        expect_gradients(case_of_tokens(tokens, 264, v), false, layout);
}

// Each row of the table gets the sum of 40 tokens, and many of these sums go on from block to
// block.
TEST(EmbeddingBackward, ManyRunsOfSomeLength) {
    std::vector<int32_t> tokens(2000);
    for (size_t i = 0; i < tokens.size(); i++) tokens[i] = (int32_t)(i % 50);
    expect_gradients(case_of_tokens(tokens, 260, 50), false, Layout::kPadded);
}

// Tokens whose numbers need three digits of a sort, some of which differ in the last alone; and a
// table with a single row.
TEST(EmbeddingBackward, LargeNumbers) {
    const int32_t v = 300000;
    std::vector<int32_t> tokens = Random(6).integers(200, 0, v);
    tokens[0] = v - 1;
    for (size_t i = 0; i < 80; i++) tokens[2 * i + 1] = i % 2 ? 7 : 7 + (1 << 18);
    expect_gradients(case_of_tokens(tokens, 1, v), true, Layout::kPadded);
}

// More tokens than a sort takes at once, even on all of its blocks.
TEST(EmbeddingBackward, ManyTokens) {
    const int32_t v = 600;
    expect_gradients(case_of_tokens(Random(7).integers(67000, 0, v), 1, v), false, Layout::kPadded);
}

TEST(EmbeddingBackward, SameBitsEachTime) {
    const Case k = make_case(900, 16, 40, 300);
    const auto all = Random(8).normal((size_t)(k.n * k.c));
    const Gradients before = {Random(9).normal((size_t)(k.v * k.c)),
                              Random(10).normal((size_t)(k.p * k.c))};
    on_each_backend([&](Device &d) {
        const auto dout = d.stored(all);
        const Gradients first = run_backward(d, k, dout, true, Layout::kDense, before);
        for (int repeat = 0; repeat < (d.emulated ? 2 : 20); repeat++) {
            const Gradients again = run_backward(d, k, dout, true, Layout::kDense, before);
            expect_same_bits("dwte", first.wte, again.wte);
            expect_same_bits("dwpe", first.wpe, again.wpe);
        }
    });
}

// Without the rows whose index is outside the table.
struct Kept {
    std::vector<int32_t> index;
    std::vector<float> rows;
};

Kept keep_inside(const std::vector<int32_t> &index, int64_t table_rows,
                 const std::vector<float> &rows, int64_t c) {
    Kept kept;
    for (size_t i = 0; i < index.size(); i++)
        if (index[i] >= 0 && index[i] < table_rows) {
            kept.index.push_back(index[i]);
            kept.rows.insert(kept.rows.end(), &rows[i * (size_t)c], &rows[i * (size_t)c] + c);
        }
    return kept;
}

// A case with indices outside both tables.
Case make_case_outside(int64_t v, int64_t p) {
    Case k = make_case(90, 8, v, p);
    size_t n = 0;
    for (int64_t outside : {(int64_t)-1, (int64_t)INT32_MIN, v, v + 1, (int64_t)INT32_MAX}) {
        k.tokens[n] = (int32_t)outside;
        k.positions[n + 2] = (int32_t)(outside == v ? p : outside);
        n += 17;
    }
    return k;
}

// Where the host cannot see indices, those outside a table neither read nor write anything, and
// leave the others' rows as they should be. A number of rows that is a power of 2 is one that no
// index has, and has a digit more.
TEST(EmbeddingIndices, OutsideTheirTablesAddNothing) {
    for (int64_t v : {5, 512}) {
        const Case k = make_case_outside(v, 3);
        const auto all = Random(11).normal((size_t)(k.n * k.c));
        const Gradients before = {Random(12).normal((size_t)(k.v * k.c)),
                                  Random(13).normal((size_t)(k.p * k.c))};
        on_each_backend([&](Device &d) {
            if (d.sees_indices) return;
            const auto dout = d.stored(all);
            const Gradients got = run_backward(d, k, dout, true, Layout::kDense, before);
            const Kept wte = keep_inside(k.tokens, k.v, dout, k.c),
                       wpe = keep_inside(k.positions, k.p, dout, k.c);
            ASSERT_EQ(wte.index.size(), (size_t)k.n - 5);
            ASSERT_EQ(wpe.index.size(), (size_t)k.n - 5);
            expect_accurate("dwte", got.wte,
                            scatter_reference<double>(wte.index, k.c, wte.rows, before.wte),
                            scatter_reference<float>(wte.index, k.c, wte.rows, before.wte));
            expect_accurate("dwpe", got.wpe,
                            scatter_reference<double>(wpe.index, k.c, wpe.rows, before.wpe),
                            scatter_reference<float>(wpe.index, k.c, wpe.rows, before.wpe));
        });
    }
}

TEST(EmbeddingIndices, OutsideTheirTablesGiveNan) {
    const Case k = make_case_outside(5, 3);
    on_each_backend([&](Device &d) {
        if (d.sees_indices) return;
        const auto wte = d.stored(Random(12).normal((size_t)((k.v + 2) * k.c)));
        const auto wpe = d.stored(Random(13).normal((size_t)((k.p + 2) * k.c)));
        Ints tokens(d, {k.n}, k.tokens), positions(d, {k.n}, k.positions);
        Stored table(d, {k.v + 2, k.c}, wte), table_2(d, {k.p + 2, k.c}, wpe), out(d, {k.n, k.c});
        qn_embedding_args args = {};
        args.tokens = tokens;
        args.positions = positions;
        args.wte = table;
        args.wpe = table_2;
        args.wte.shape[0] = k.v; // there are numbers behind what the tables hold
        args.wpe.shape[0] = k.p;
        args.out = out;
        expect_ok(d.ops().embedding_forward(d.stream, &args));
        const auto got = out.read();
        for (int64_t n = 0; n < k.n; n++)
            for (int64_t j = 0; j < k.c; j++) {
                const int64_t t = k.tokens[(size_t)n], p = k.positions[(size_t)n];
                const float value = got[(size_t)(n * k.c + j)];
                if (t < 0 || t >= k.v || p < 0 || p >= k.p)
                    EXPECT_TRUE(std::isnan(value)) << n;
                else
                    EXPECT_EQ(value, d.stored({wte[(size_t)(t * k.c + j)] +
                                               wpe[(size_t)(p * k.c + j)]})[0])
                        << n;
            }
    });
}

// Tokens that end where their memory does: an emulated device notices who reads on.
TEST(EmbeddingIndices, AreReadToTheirEnd) {
    const std::vector<int32_t> tokens = Random(14).integers(37, 0, 5);
    const int64_t n = 37, c = 8, v = 5;
    on_each_backend([&](Device &d) {
        void *memory = nullptr;
        expect_ok(d.ops().alloc(d.backend, sizeof(int32_t) * tokens.size(), &memory));
        expect_ok(d.ops().copy(d.stream, memory, tokens.data(), sizeof(int32_t) * tokens.size(),
                               QN_COPY_TO_DEVICE));
        Stored wte(d, {v, c}, std::vector<float>((size_t)(v * c), 1)), out(d, {n, c});
        Floats dwte(d, {v, c}, std::vector<float>((size_t)(v * c)));
        qn_embedding_args args = {};
        args.tokens = qn_tensor_1d(memory, QN_I32, n);
        args.wte = wte;
        args.out = out;
        expect_ok(d.ops().embedding_forward(d.stream, &args));
        EXPECT_EQ(out.read(), std::vector<float>((size_t)(n * c), 1));
        args.dout = out;
        args.dwte = dwte;
        Workspace workspace(d, d.ops().embedding_backward_workspace(d.backend, &args));
        args.workspace = workspace.data();
        expect_ok(d.ops().embedding_backward(d.stream, &args));
        const auto sums = dwte.read();
        EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0.0f), (float)(n * c));
        d.ops().free(d.backend, memory);
    });
}

// The forward pass is linear in the tables: its gradient is its transpose.
TEST(EmbeddingReference, GradientIsTheTranspose) {
    Case k = make_case(6, 2, 4, 3);
    auto dout = Random(3).normal(12);
    auto gradient = scatter_reference<double>(k.tokens, 2, dout, std::vector<float>(8));
    auto loss = [&](const std::vector<double> &table) {
        double sum = 0;
        for (size_t i = 0; i < dout.size(); i++)
            sum += dout[i] * table[(size_t)k.tokens[i / 2] * 2 + i % 2];
        return sum;
    };
    expect_gradient("wte", loss, convert<double>(Random(4).normal(8)), gradient);
}

TEST(EmbeddingArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](bool forward, auto change, std::vector<std::string> words) {
            Ints tokens(d, {2}, {0, 4}), positions(d, {2}, {0, 1});
            Stored table(d, {5, 3}, std::vector<float>(15)), out(d, {2, 3});
            Floats dtable(d, {5, 3});
            qn_embedding_args args = {};
            args.tokens = tokens;
            args.positions = positions;
            args.wte = args.wpe = table;
            args.out = out;
            args.dout = table;
            args.dout.shape[0] = 2;
            args.dwte = args.dwpe = dtable;
            change(args, tokens, positions);
            words.push_back(forward ? "embedding_forward" : "embedding_backward");
            auto op = forward ? d.ops().embedding_forward : d.ops().embedding_backward;
            expect_refused(op(d.stream, &args), QN_CODE_INVALID, words);
            out.expect_untouched();
            dtable.expect_untouched();
        };
        using Args = qn_embedding_args;
        for (bool forward : {true, false}) {
            refuse(forward, [](Args &a, Ints &, Ints &) { a.tokens.shape[0] = 1; },
                   {"tokens is (1)"});
            refuse(forward, [](Args &a, Ints &, Ints &) { a.positions = absent(); },
                   {"positions is missing"});
            if (!d.sees_indices) continue;
            refuse(forward,
                   [](Args &, Ints &t, Ints &) {
                       t.write({0, 5});
                   },
                   {"token 5", "[0, 5)"});
            refuse(forward, [](Args &, Ints &t, Ints &) { t.write({-1, 0}); }, {"token -1 at 0"});
            refuse(forward, [](Args &, Ints &, Ints &p) { p.write({0, 5}); }, {"position 5 at 1"});
        }
        refuse(true, [](Args &a, Ints &, Ints &) { a.wte.shape[1] = 2; }, {"wte is (5,2)"});
        refuse(false, [](Args &a, Ints &, Ints &) { a.dwpe.shape[1] = 2; }, {"dwpe is (5,2)"});
        refuse(false, [](Args &a, Ints &, Ints &) { a.dwte.dtype = QN_BF16; }, {"dwte is bf16"});
    });
}

// Where a backward pass needs a workspace, what it cannot have is refused before anything is read.
TEST(EmbeddingArguments, WorkspaceThatCannotBe) {
    on_each_backend([&](Device &d) {
        Ints tokens(d, {2}, {0, 4});
        Stored dout(d, {2, 3}, std::vector<float>(6));
        Floats dwte(d, {5, 3});
        qn_embedding_args args = {};
        args.tokens = tokens;
        args.dout = dout;
        args.dwte = dwte;
        if (d.ops().embedding_backward_workspace(d.backend, &args) == 0) return;
        auto refuse = [&](qn_code code, const char *words) {
            expect_refused(d.ops().embedding_backward(d.stream, &args), code,
                           {"embedding_backward", words});
            dwte.expect_untouched();
        };
        refuse(QN_CODE_INVALID, "workspace is missing");
        args.workspace = (char *)args.dwte.data + 1;
        refuse(QN_CODE_INVALID, "workspace is not aligned");
        args.tokens.shape[0] = args.dout.shape[0] = (int64_t)1 << 31;
        refuse(QN_CODE_UNSUPPORTED, "2147483648 rows");
        args.tokens.shape[0] = args.dout.shape[0] = 1;
        args.dout.shape[1] = args.dwte.shape[1] = ((int64_t)1 << 61) - 8;
        args.dwte.shape[0] = 0;
        refuse(QN_CODE_INVALID, "its workspace cannot exist");
    });
}

} // namespace
