// test_embedding.cc: rows of tables by index, and the sums that are their gradients.
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

const int64_t kShapes[][4] = {{1, 1, 1, 1}, {5, 3, 2, 7},    {40, 17, 9, 40},      {0, 4, 3, 2},
                              {3, 0, 3, 2}, {300, 64, 7, 9}, {257, 129, 1000, 257}};

TEST(Embedding, ForwardCopiesAndAddsRows) {
    for (const auto &s : kShapes) {
        Case k = make_case(s[0], s[1], s[2], s[3]);
        for (bool has_wpe : {false, true}) {
            on_each_backend([&](Device &d) {
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
                Stored dwte(d, {k.v, k.c}, wte), dwpe(d, {k.p, k.c}, wpe), out(d, {k.n, k.c});
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

TEST(Embedding, BackwardAddsToEveryRow) {
    for (const auto &s : kShapes) {
        Case k = make_case(s[0], s[1], s[2], s[3]);
        Random random(2);
        const auto all = random.normal((size_t)(k.n * k.c));
        auto wte = random.normal((size_t)(k.v * k.c)), wpe = random.normal((size_t)(k.p * k.c));
        on_each_backend([&](Device &d) {
            const auto dout = d.stored(all);
            auto run = [&](bool has_wpe) {
                Ints tokens(d, {k.n}, k.tokens), positions(d, {k.n}, k.positions);
                Floats dwte(d, {k.v, k.c}, wte), dwpe(d, {k.p, k.c}, wpe);
                Stored in(d, {k.n, k.c}, dout);
                qn_embedding_args args = {};
                args.tokens = tokens;
                args.dout = in;
                args.dwte = dwte;
                if (has_wpe) {
                    args.positions = positions;
                    args.dwpe = dwpe;
                }
                Workspace workspace(d, d.ops().embedding_backward_workspace(d.backend, &args));
                args.workspace = workspace.data();
                expect_ok(d.ops().embedding_backward(d.stream, &args));
                expect_ok(d.ops().stream_sync(d.stream));
                workspace.expect_guards_intact();
                if (!has_wpe) dwpe.expect_untouched();
                return std::make_pair(dwte.read(), dwpe.read());
            };
            auto got = run(true);
            expect_accurate("dwte", got.first, scatter_reference<double>(k.tokens, k.c, dout, wte),
                            scatter_reference<float>(k.tokens, k.c, dout, wte));
            expect_accurate("dwpe", got.second,
                            scatter_reference<double>(k.positions, k.c, dout, wpe),
                            scatter_reference<float>(k.positions, k.c, dout, wpe));
            expect_same_bits("dwte", got.first, run(false).first);
        });
    }
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

} // namespace
