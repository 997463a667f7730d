// test_rope.cc: rotary positions: the table, the rotation, its inverse and its gradient.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/random.h"

using namespace harness;

namespace {

template <typename T> std::vector<T> table_reference(int64_t positions, int64_t d, double theta) {
    std::vector<T> table((size_t)(positions * d));
    for (int64_t p = 0; p < positions; p++)
        for (int64_t i = 0; i < d / 2; i++) {
            double angle = (double)p / std::pow(theta, (double)(2 * i) / (double)d);
            table[(size_t)(p * d + i)] = (T)std::cos(angle);
            table[(size_t)(p * d + d / 2 + i)] = (T)std::sin(angle);
        }
    return table;
}

// x (N,H,D) dense, rotated.
template <typename T>
std::vector<T> rope_reference(std::vector<T> x, int64_t heads, int64_t d,
                              const std::vector<int32_t> &positions, const std::vector<T> &table,
                              bool inverse) {
    for (size_t n = 0; n < positions.size(); n++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < d / 2; i++) {
                T *head = &x[(n * (size_t)heads + (size_t)h) * (size_t)d];
                const T *row = &table[(size_t)(positions[n] * d)];
                T cosine = row[i], sine = inverse ? -row[d / 2 + i] : row[d / 2 + i];
                T a = head[i], b = head[d / 2 + i];
                head[i] = a * cosine - b * sine;
                head[d / 2 + i] = b * cosine + a * sine;
            }
    return x;
}

TEST(RopeTable, HoldsCosinesThenSines) {
    on_each_backend([&](Device &d) {
        for (auto [positions, dim, theta] : {std::tuple<int64_t, int64_t, double>{1, 2, 10000},
                                             {700, 64, 10000},
                                             {3, 6, 500000},
                                             {0, 4, 10000},
                                             {5, 0, 10000}}) {
            Floats table(d, {positions, dim});
            expect_ok(d.ops().rope_table(d.stream, table, theta));
            std::vector<double> exact = table_reference<double>(positions, dim, theta);
            std::vector<float> got = table.read();
            for (size_t i = 0; i < exact.size(); i++)
                EXPECT_NEAR((double)got[i], exact[i], 0x1p-24) << i; // half a unit at 1
        }
    });
}

TEST(Rope, RotatesPairsHalfAHeadApart) {
    const int64_t shapes[][3] = {{1, 1, 2}, {5, 3, 8}, {67, 4, 64}, {3, 2, 6},
                                 {0, 2, 4}, {3, 0, 4}, {2, 2, 0}};
    uint32_t seed = 1;
    for (const auto &s : shapes)
        for (bool inverse : {false, true}) {
            SCOPED_TRACE("N=" + std::to_string(s[0]) + " H=" + std::to_string(s[1]) +
                         " D=" + std::to_string(s[2]));
            Random random(seed++);
            const int64_t n_positions = 40;
            const auto all = random.normal((size_t)(s[0] * s[1] * s[2]));
            auto positions = random.integers((size_t)s[0], 0, n_positions);
            auto table = table_reference<float>(n_positions, s[2], 10000);
            on_each_backend([&](Device &d) {
                const auto x = d.stored(all);
                auto exact = rope_reference(convert<double>(x), s[1], s[2], positions,
                                            convert<double>(table), inverse);
                auto plain = rope_reference(x, s[1], s[2], positions, table, inverse);
                Stored dx(d, {s[0], s[1], s[2]}, x);
                Floats dtable(d, {n_positions, s[2]}, table);
                Ints dpositions(d, {s[0]}, positions);
                qn_rope_args args = {};
                args.x = dx;
                args.positions = dpositions;
                args.table = dtable;
                args.inverse = inverse;
                expect_ok(d.ops().rope(d.stream, &args));
                expect_stored(d.storage, "x", dx.read(), exact, plain);
            });
        }
}

// A rotation is linear and orthogonal: its gradient is its inverse.
TEST(RopeReference, InverseIsTheGradient) {
    Random random(5);
    const int64_t heads = 2, dim = 6;
    std::vector<int32_t> positions = {3, 0, 7};
    auto table = table_reference<double>(8, dim, 100);
    auto x = convert<double>(random.normal(36)), dout = convert<double>(random.normal(36));
    auto gradient = rope_reference(dout, heads, dim, positions, table, true);
    auto loss = [&](const std::vector<double> &at) {
        return dot(rope_reference(at, heads, dim, positions, table, false), dout);
    };
    expect_gradient("x", loss, x, gradient);
}

TEST(RopeArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        auto refuse = [&](auto change, std::vector<std::string> words) {
            Stored x(d, {2, 1, 4}, std::vector<float>(8));
            Floats table(d, {3, 4}, std::vector<float>(12));
            Ints positions(d, {2}, {0, 2});
            qn_rope_args args = {};
            args.x = x;
            args.positions = positions;
            args.table = table;
            change(args, positions);
            words.push_back("rope");
            expect_refused(d.ops().rope(d.stream, &args), QN_CODE_INVALID, words);
            x.expect_untouched();
        };
        refuse([](qn_rope_args &a, Ints &) { a.x.shape[2] = 3; }, {"even"});
        refuse([](qn_rope_args &a, Ints &) { a.table.shape[1] = 2; }, {"table is (3,2)", "4"});
        refuse([](qn_rope_args &a, Ints &) { a.positions.shape[0] = 1; }, {"positions is (1)"});
        refuse([](qn_rope_args &a, Ints &) { a.positions = a.table; },
               {"positions is fp32", "int32"});
        refuse([](qn_rope_args &a, Ints &) { a.table.dtype = QN_BF16; }, {"table is bf16", "fp32"});
        if (d.sees_indices) {
            refuse([](qn_rope_args &, Ints &p) { p.write({0, 3}); }, {"position 3", "[0, 3)"});
            refuse([](qn_rope_args &, Ints &p) { p.write({-1, 0}); }, {"position -1"});
        }
        Floats table(d, {2, 4});
        expect_refused(d.ops().rope_table(d.stream, table, 0), QN_CODE_INVALID, {"theta is 0"});
        expect_refused(d.ops().rope_table(d.stream, table, NAN), QN_CODE_INVALID, {"theta"});
        qn_tensor odd = table;
        odd.shape[1] = 3;
        expect_refused(d.ops().rope_table(d.stream, odd, 10000), QN_CODE_INVALID, {"even"});
        table.expect_untouched();
    });
}

} // namespace
