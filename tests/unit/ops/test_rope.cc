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

// Angles of a million: a frequency in fp32 would be off by hundredths of a turn.
TEST(RopeTable, FarPositionsAreAsExact) {
    const int64_t positions = 1000001, dim = 4;
    const double theta = 500000;
    on_each_dtype([&](Device &d) {
        Floats table(d, {positions, dim});
        expect_ok(d.ops().rope_table(d.stream, table, theta));
        std::vector<double> exact = table_reference<double>(positions, dim, theta);
        EXPECT_LE(error_of(table.read(), exact).largest, 0x1p-24);
    });
}

void check_rotation(int64_t tokens, int64_t heads, int64_t dim, bool inverse, Layout layout) {
    SCOPED_TRACE("N=" + std::to_string(tokens) + " H=" + std::to_string(heads) +
                 " D=" + std::to_string(dim) + (layout == Layout::kDense ? " dense" : ""));
    Random random((uint32_t)(tokens + heads + dim));
    const int64_t n_positions = 40;
    const auto all = random.normal((size_t)(tokens * heads * dim));
    auto positions = random.integers((size_t)tokens, 0, n_positions);
    auto table = table_reference<float>(n_positions, dim, 10000);
    on_each_backend([&](Device &d) {
        const auto x = d.stored(all);
        auto exact = rope_reference(convert<double>(x), heads, dim, positions,
                                    convert<double>(table), inverse);
        auto plain = rope_reference(x, heads, dim, positions, table, inverse);
        Stored dx(d, {tokens, heads, dim}, x, layout);
        Floats dtable(d, {n_positions, dim}, table, layout);
        Ints dpositions(d, {tokens}, positions);
        qn_rope_args args = {};
        args.x = dx;
        args.positions = dpositions;
        args.table = dtable;
        args.inverse = inverse;
        expect_ok(d.ops().rope(d.stream, &args));
        const std::vector<float> once = dx.read();
        expect_stored(d.storage, "x", once, exact, plain);
        dx.write(x);
        expect_ok(d.ops().rope(d.stream, &args));
        expect_same_bits("x", dx.read(), once);
    });
}

TEST(Rope, RotatesPairsHalfAHeadApart) {
    const int64_t shapes[][3] = {{1, 1, 2},  {5, 3, 8},  {67, 4, 64},  {3, 2, 6},  {0, 2, 4},
                                 {3, 0, 4},  {2, 2, 0},  {7, 5, 16},   {9, 6, 24}, {4, 2, 128},
                                 {5, 1, 32}, {2, 7, 80}, {300, 9, 96}, {2, 1, 256}};
    for (const auto &s : shapes)
        for (bool inverse : {false, true})
            for (Layout layout : {Layout::kPadded, Layout::kDense})
                check_rotation(s[0], s[1], s[2], inverse, layout);
}

// The queries of a buffer of queries, keys and values.
TEST(Rope, LeavesTheRestOfALargerBuffer) {
    const int64_t tokens = 5, heads = 3, all_heads = 7, dim = 32;
    const std::vector<float> values = Random(9).normal((size_t)(tokens * all_heads * dim));
    const std::vector<int32_t> positions = {4, 0, 3, 3, 1};
    auto table = table_reference<float>(5, dim, 10000);
    on_each_dtype([&](Device &d) {
        const std::vector<float> buffer = d.stored(values);
        Stored qkv(d, {tokens, all_heads, dim}, buffer, Layout::kDense);
        Floats dtable(d, {5, dim}, table, Layout::kDense);
        Ints dpositions(d, {tokens}, positions);
        qn_rope_args args = {};
        args.x = qkv;
        args.x.shape[1] = heads;
        args.positions = dpositions;
        args.table = dtable;
        expect_ok(d.ops().rope(d.stream, &args));
        const std::vector<float> got = qkv.read();
        std::vector<double> exact = rope_reference(convert<double>(buffer), all_heads, dim,
                                                   positions, convert<double>(table), false);
        std::vector<float> plain = rope_reference(buffer, all_heads, dim, positions, table, false);
        for (size_t i = 0; i < got.size(); i++)
            if (i / (size_t)dim % (size_t)all_heads >= (size_t)heads) {
                EXPECT_EQ(got[i], buffer[i]) << i;
                exact[i] = plain[i] = buffer[i];
            }
        expect_stored(d.storage, "x", got, exact, plain);
    });
}

// Where the backend cannot refuse them.
TEST(Rope, PositionsOutsideTheTableLeaveTheirTokens) {
    const std::vector<float> values = Random(3).normal(5 * 2 * 16);
    const std::vector<int32_t> positions = {1, -1, 3, 2, INT32_MIN};
    auto table = table_reference<float>(3, 16, 100);
    on_each_dtype([&](Device &d) {
        if (d.sees_indices) return;
        const std::vector<float> x = d.stored(values);
        Stored dx(d, {5, 2, 16}, x, Layout::kDense);
        Floats dtable(d, {3, 16}, table, Layout::kDense);
        Ints dpositions(d, {5}, positions);
        qn_rope_args args = {};
        args.x = dx;
        args.positions = dpositions;
        args.table = dtable;
        expect_ok(d.ops().rope(d.stream, &args));
        const std::vector<float> got = dx.read();
        for (size_t token = 0; token < 5; token++) {
            const bool inside = positions[token] >= 0 && positions[token] < 3;
            const bool same = memcmp(&got[token * 32], &x[token * 32], 32 * sizeof(float)) == 0;
            EXPECT_EQ(same, !inside) << token;
        }
    });
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
