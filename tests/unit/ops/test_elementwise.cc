// test_elementwise.cc: moving, converting, adding and summing.
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/gemm_reference.h"
#include "harness/random.h"
#include "quern/rounding.h"

using namespace harness;

namespace {

// ---- bytes -------------------------------------------------------------------------

TEST(Copy, MovesAnyNumberOfBytes) {
    on_each_backend([&](Device &d) {
        for (size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{700001}}) {
            std::vector<unsigned char> from(bytes), back(bytes);
            for (size_t i = 0; i < bytes; i++) from[i] = (unsigned char)(i * 31 + i / 256);
            Workspace a(d, bytes), b(d, bytes);
            expect_ok(d.ops().copy(d.stream, a.data(), from.data(), bytes, QN_COPY_TO_DEVICE));
            expect_ok(d.ops().copy(d.stream, b.data(), a.data(), bytes, QN_COPY_ON_DEVICE));
            expect_ok(d.ops().copy(d.stream, back.data(), b.data(), bytes, QN_COPY_TO_HOST));
            expect_ok(d.ops().stream_sync(d.stream));
            EXPECT_EQ(from == back, true) << bytes;
            expect_ok(d.ops().zero(d.stream, b.data(), bytes));
            expect_ok(d.ops().copy(d.stream, back.data(), b.data(), bytes, QN_COPY_TO_HOST));
            expect_ok(d.ops().stream_sync(d.stream));
            EXPECT_EQ(back == std::vector<unsigned char>(bytes), true) << bytes;
            a.expect_guards_intact();
            b.expect_guards_intact();
        }
        char byte;
        expect_refused(d.ops().copy(d.stream, nullptr, &byte, 1, QN_COPY_TO_DEVICE),
                       QN_CODE_INVALID, {"copy", "dst"});
        expect_refused(d.ops().copy(d.stream, &byte, &byte, 1, (qn_copy_kind)7), QN_CODE_INVALID,
                       {"copy", "kind 7"});
        expect_refused(d.ops().zero(d.stream, nullptr, 1), QN_CODE_INVALID, {"zero", "dst"});
    });
}

// ---- conversion -----------------------------------------------------------------------

float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

std::vector<float> awkward_floats() {
    std::vector<float> x = {0.0f, -0.0f, 1, INFINITY, -INFINITY, 3.4e38f, 1e-40f, 1e-45f, -1e-39f};
    for (uint32_t bits :
         {0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu, 0x7f7f8000u, 0x7f7fffffu, 0x00008000u,
          0x00018000u, 0x80008001u}) // ties and neighbours
        x.push_back(float_of(bits));
    return x;
}

TEST(Cast, RoundsToNearestEven) {
    std::vector<float> x = awkward_floats(), random = Random(1).normal(20000);
    x.insert(x.end(), random.begin(), random.end());
    int64_t n = (int64_t)x.size();
    on_each_backend([&](Device &d) {
        for (Layout layout : {Layout::kDense, Layout::kPadded}) {
            Floats from(d, {n}, x, layout), back(d, {n}, layout);
            DeviceTensor<uint16_t> to(d, {n}, layout);
            expect_ok(d.ops().cast(d.stream, to, from));
            expect_ok(d.ops().cast(d.stream, back, to));
            std::vector<float> got = back.read();
            std::vector<uint16_t> bits = to.read();
            for (size_t i = 0; i < x.size(); i++) {
                float want = reference::round_bf16(x[i]);
                if (std::fabs(x[i]) > 3.3961e38f) want = std::copysign(INFINITY, x[i]);
                EXPECT_EQ(got[i], want) << x[i];
                EXPECT_EQ(std::signbit(got[i]), std::signbit(x[i])) << x[i];
                EXPECT_EQ(float_of((uint32_t)bits[i] << 16), want) << x[i];
            }
        }
    });
}

// NaNs whose payload lies only in the bits that are dropped, or would overflow.
TEST(Cast, NanStaysNan) {
    std::vector<float> x;
    for (uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u})
        x.push_back(float_of(bits));
    on_each_backend([&](Device &d) {
        Floats from(d, {5}, x), back(d, {5});
        DeviceTensor<uint16_t> to(d, {5});
        expect_ok(d.ops().cast(d.stream, to, from));
        expect_ok(d.ops().cast(d.stream, back, to));
        for (float value : back.read()) EXPECT_TRUE(std::isnan(value));
    });
}

TEST(Cast, AnyShapeAndStrides) {
    on_each_backend([&](Device &d) {
        for (const std::vector<int64_t> &shape :
             {std::vector<int64_t>{}, {1}, {3, 5}, {2, 0, 3}, {4, 3, 2, 5}, {40, 700}}) {
            size_t n = 1;
            for (int64_t length : shape) n *= (size_t)length;
            std::vector<float> x = Random(2).normal(n);
            Floats from(d, shape, x), same(d, shape, Layout::kDense);
            DeviceTensor<uint16_t> to(d, shape), copied(d, shape);
            expect_ok(d.ops().cast(d.stream, same, from));
            expect_same_bits("fp32 to fp32", same.read(), x);
            expect_ok(d.ops().cast(d.stream, to, from));
            expect_ok(d.ops().cast(d.stream, copied, to));
            expect_same_bits("bf16 to bf16", copied.read(), to.read());
        }
    });
}

TEST(Cast, TransposedView) {
    std::vector<float> x = {1, 2, 3, 4, 5, 6};
    on_each_backend([&](Device &d) {
        Floats from(d, {2, 3}, x, Layout::kDense), to(d, {3, 2});
        qn_tensor transposed = from;
        transposed.shape[0] = 3;
        transposed.shape[1] = 2;
        transposed.stride[0] = 1;
        transposed.stride[1] = 3;
        expect_ok(d.ops().cast(d.stream, to, transposed));
        expect_same_bits("to", to.read(), {1, 4, 2, 5, 3, 6});
    });
}

// Whole arrays, with an end that fills no 16 bytes, long enough that a grid comes back for more;
// aligned and not.
TEST(Cast, LongArrays) {
    on_each_backend([&](Device &d) {
        for (int64_t n : {1, 7, 8, 9, 16391, 70003}) {
            const std::vector<float> x = Random((uint32_t)n).normal((size_t)n);
            for (Layout from : {Layout::kDense, Layout::kPadded})
                for (Layout to : {Layout::kDense, Layout::kPadded}) {
                    Floats wide(d, {n}, x, from), back(d, {n}, from), same(d, {n}, to);
                    DeviceTensor<uint16_t> narrow(d, {n}, to), copied(d, {n}, from);
                    expect_ok(d.ops().cast(d.stream, same, wide));
                    expect_ok(d.ops().cast(d.stream, narrow, wide));
                    expect_ok(d.ops().cast(d.stream, copied, narrow));
                    expect_ok(d.ops().cast(d.stream, back, narrow));
                    expect_same_bits("fp32 to fp32", same.read(), x);
                    expect_same_bits("bf16 to fp32", back.read(), rounded(QN_BF16, x));
                    expect_same_bits("bf16 to bf16", copied.read(), narrow.read());
                }
        }
    });
}

// ---- stochastic conversion -----------------------------------------------------------------

// Of an array on every backend what rounding.h says of its elements.
TEST(CastStochastic, BitsAreThoseOfTheElements) {
    on_each_backend([&](Device &d) {
        for (int64_t n : {0, 1, 7, 8, 9, 70003}) {
            std::vector<float> x = Random((uint32_t)n).normal((size_t)n);
            if (n > 9) x[0] = INFINITY, x[1] = -3.4e38f, x[2] = 1e-45f, x[9] = -0.0f;
            for (Layout layout : {Layout::kDense, Layout::kPadded})
                for (int64_t step : {int64_t{1}, int64_t{77}, (int64_t{1} << 32) + 5}) {
                    const uint64_t seed = 0x123456789abcdefull;
                    Floats from(d, {n}, x, layout);
                    DeviceTensor<uint16_t> to(d, {n}, layout);
                    std::vector<uint16_t> want;
                    for (int64_t i = 0; i < n; i++)
                        want.push_back(qn_bf16_stochastic_at(x[(size_t)i], seed, step, i));
                    expect_ok(d.ops().cast_stochastic(d.stream, to, from, seed, step));
                    expect_same_bits("to", to.read(), want);
                }
        }
    });
}

TEST(CastStochastic, NanStaysNan) {
    const std::vector<float> x = {float_of(0x7f800001u), float_of(0xffffffffu), NAN};
    on_each_backend([&](Device &d) {
        Floats from(d, {3}, x), back(d, {3});
        DeviceTensor<uint16_t> to(d, {3});
        expect_ok(d.ops().cast_stochastic(d.stream, to, from, 1, 1));
        expect_ok(d.ops().cast(d.stream, back, to));
        for (float value : back.read()) EXPECT_TRUE(std::isnan(value));
    });
}

// ---- addition ---------------------------------------------------------------------------

void check_add(Device &d, int64_t rows, int64_t cols, Layout layout_a, Layout layout_b) {
    const size_t n = (size_t)(rows * cols);
    const std::vector<float> x = d.stored(Random(1).normal(n)), y = d.stored(Random(2).normal(n));
    std::vector<float> want(x);
    for (size_t i = 0; i < n; i++) want[i] += y[i];
    want = d.stored(want);
    for (int where = 0; where < 4; where++) {
        Stored a(d, {rows, cols}, x, layout_a), b(d, {rows, cols}, y, layout_b);
        Stored own(d, {rows, cols}, where == 2 ? Layout::kDense : Layout::kPadded);
        Stored &dst = where == 0 ? a : where == 1 ? b : own;
        expect_ok(d.ops().add(d.stream, dst, a, b));
        expect_same_bits("dst", dst.read(), want);
    }
}

TEST(Add, MayWriteOverEitherOperand) {
    on_each_backend([&](Device &d) {
        for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 37}, {0, 5}, {5, 0}})
            check_add(d, rows, cols, Layout::kPadded, Layout::kPadded);
    });
}

// Rows of whole vectors and others; more of them than a grid takes at once.
TEST(Add, ManyRowsOfAnyAlignment) {
    on_each_backend([&](Device &d) {
        for (Layout a : {Layout::kDense, Layout::kPadded})
            for (Layout b : {Layout::kDense, Layout::kPadded})
                for (int64_t cols : {301, 304}) check_add(d, 130, cols, a, b);
    });
}

// Slices of wider matrices, from columns that are aligned and from others, of rows that are whole
// vectors and of others; nothing beside them is written.
TEST(Add, SlicesOfColumns) {
    on_each_backend([&](Device &d) {
        const int64_t rows = 5, pitch = 48;
        const std::vector<float> x = d.stored(Random(3).normal((size_t)(rows * pitch)));
        for (int64_t first : {8, 5})
            for (int64_t cols : {24, 21, 3}) {
                Stored from(d, {rows, pitch}, x, Layout::kDense);
                Stored to(d, {rows, pitch}, x, Layout::kDense);
                auto slice = [&](qn_tensor whole) {
                    whole.data = (char *)whole.data + (size_t)first * qn_dtype_size(d.storage);
                    whole.shape[1] = cols;
                    return whole;
                };
                expect_ok(d.ops().add(d.stream, slice(to), slice(from), slice(from)));
                std::vector<float> want = x;
                for (int64_t n = 0; n < rows; n++)
                    for (int64_t j = 0; j < cols; j++) want[(size_t)(n * pitch + first + j)] *= 2;
                expect_same_bits("to", to.read(), want);
            }
    });
}

// ---- sums -------------------------------------------------------------------------------------

TEST(Sum, IsTheExactSumRoundedOnce) {
    on_each_backend([&](Device &d) {
        for (int64_t n : {0, 1, 15, 17, 4096, 4097, 300000, 1100000}) {
            std::vector<float> x = Random((uint32_t)n).normal((size_t)n, 1, 0.5f);
            long double sum = 0, squares = 0;
            for (float value : x) {
                sum += value;
                squares += (long double)value * value;
            }
            for (Layout layout : {Layout::kDense, Layout::kPadded}) {
                Floats in(d, {n}, x, layout), out(d, {2});
                float *data = (float *)out.view.data;
                expect_ok(d.ops().sum(d.stream, in, data));
                expect_ok(d.ops().sum_squares(d.stream, in, data + 1));
                std::vector<float> got = out.read();
                EXPECT_EQ(got[0], (float)sum) << n;
                EXPECT_EQ(got[1], (float)squares) << n;
            }
        }
    });
}

// Calls follow each other before any result is read: none disturbs the one before it.
TEST(Sum, ManyCallsInARow) {
    on_each_backend([&](Device &d) {
        const int64_t n = 40000, calls = 6;
        const std::vector<float> x = Random(4).normal((size_t)n);
        Floats in(d, {n}, x, Layout::kDense), out(d, {calls});
        float *data = (float *)out.view.data;
        std::vector<float> want;
        for (int64_t i = 0; i < calls; i++) {
            const int64_t length = n - 7000 * i;
            double sum = 0;
            for (int64_t j = 0; j < length; j++) sum += x[(size_t)j];
            want.push_back((float)sum);
            qn_tensor part = qn_tensor_1d(in.view.data, QN_F32, length);
            expect_ok(d.ops().sum(d.stream, part, data + i));
        }
        expect_same_bits("sums", out.read(), want);
    });
}

TEST(Sum, CancellationAndLargeNumbers) {
    on_each_backend([&](Device &d) {
        Floats x(d, {4}, {1e10f, 1, -1e10f, 0.5f}), out(d, {1}), big(d, {2}, {1e19f, 1e19f});
        float *data = (float *)out.view.data;
        expect_ok(d.ops().sum(d.stream, x, data));
        EXPECT_EQ(out.read()[0], 1.5f);
        expect_ok(d.ops().sum_squares(d.stream, big, data));
        EXPECT_FLOAT_EQ(out.read()[0], 2e38f);
        Floats nan(d, {2, 2}, {1, NAN, 2, 3}, Layout::kDense);
        expect_ok(d.ops().sum_squares(d.stream, nan, data));
        EXPECT_TRUE(std::isnan(out.read()[0]));
    });
}

// ---- wrong arguments ---------------------------------------------------------------------------

TEST(ElementwiseArguments, MisfitsAreNamed) {
    on_each_backend([&](Device &d) {
        Stored a(d, {2, 3}, std::vector<float>(6)), dst(d, {2, 3}), narrow(d, {2, 2});
        Floats wide(d, {2, 3}, std::vector<float>(6)), sums(d, {1});
        Ints ints(d, {2, 3});
        const qn_ops &ops = d.ops();
        expect_refused(ops.add(d.stream, dst, a, narrow), QN_CODE_INVALID, {"add: b is (2,2)"});
        expect_refused(ops.add(d.stream, dst, ints, a), QN_CODE_INVALID, {"add: a is int32"});
        expect_refused(ops.cast(d.stream, narrow, a), QN_CODE_INVALID, {"cast", "(2,2)", "(2,3)"});
        expect_refused(ops.cast(d.stream, dst, ints), QN_CODE_UNSUPPORTED, {"cast", "int32"});
        expect_refused(ops.cast(d.stream, dst, absent()), QN_CODE_INVALID, {"cast: src"});
        float *out = (float *)sums.view.data;
        expect_refused(ops.sum(d.stream, wide, out), QN_CODE_INVALID, {"sum: x is not dense"});
        expect_refused(ops.sum(d.stream, ints, out), QN_CODE_INVALID, {"sum: x is int32"});
        expect_refused(ops.sum_squares(d.stream, wide, nullptr), QN_CODE_INVALID, {"sum_squares"});
        DeviceTensor<uint16_t> gaps(d, {2, 3}), row(d, {3}, Layout::kDense);
        Floats dense(d, {6}, std::vector<float>(6), Layout::kDense);
        auto stochastic = [&](qn_tensor to, qn_tensor from, int64_t step) {
            return ops.cast_stochastic(d.stream, to, from, 1, step);
        };
        expect_refused(stochastic(row, dense, 1), QN_CODE_INVALID,
                       {"cast_stochastic: dst is (3)", "(6)"});
        expect_refused(stochastic(gaps, wide, 1), QN_CODE_INVALID, {"src is not dense"});
        expect_refused(stochastic(gaps, dense, 1), QN_CODE_INVALID, {"dst is not dense"});
        expect_refused(stochastic(dense, dense, 1), QN_CODE_INVALID, {"dst is fp32"});
        expect_refused(stochastic(row, row, 1), QN_CODE_INVALID, {"src is bf16"});
        qn_tensor three = qn_tensor_1d(dense.view.data, QN_F32, 3);
        expect_refused(stochastic(row, three, 0), QN_CODE_INVALID, {"step is 0"});
        dst.expect_untouched();
        narrow.expect_untouched();
        sums.expect_untouched();
        gaps.expect_untouched();
        row.expect_untouched();
    });
}

} // namespace
