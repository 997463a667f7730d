// The fused forward under many schedules, and at addresses and lengths near their limits.
#include <sys/mman.h>

#include "attention_cases.h"
#include "forward_call.h"
#include "simt/sweep.h"

namespace {

using namespace attention;

// The keys of two groups fit a third of the L2 cache here, so that the heads go by sections of four
// and two.
TEST(Forward, SectionsOfHeads) {
    Case c = make_case(1, 130, 150, 6, 3, 64);
    c.shape.causal = true;
    c.shape.window = 70;
    check(c);
}

TEST(Forward, SameBitsInEverySchedule) {
    for (int64_t head_dim : {64, 128}) {
        Case c = make_case(1, 140, 270, 1, 1, head_dim);
        c.shape.causal = true;
        c.shape.scale = -0.1;
        c.stats = true;
        AttentionInputs<float> in = random_inputs(c);
        AttentionResult<float> first = run(c, in);
        expect_right(first, expected(c, in));
        simt::for_each_schedule(6, [&] {
            AttentionResult<float> again = run(c, in);
            EXPECT_TRUE(harness::same_bits(again.o, first.o));
            EXPECT_TRUE(harness::same_bits(again.lse, first.lse));
            EXPECT_EQ(again.sums, first.sums);
        });
    }
}

// More than a tile of rows and of keys, causal: each schedule is right, and, in the race build,
// free of races.
TEST(Forward, FiftySchedules) {
    Case c = make_case(1, 140, 140, 1, 1, 64);
    c.shape.causal = true;
    c.stats = true;
    AttentionInputs<float> in = random_inputs(c);
    Expected want = expected(c, in);
    simt::for_each_schedule(50, [&] { expect_right(run(c, in), want); });
}

// Sequences, then rows, then heads 2^31 elements apart, in memory that is mapped but mostly
// never touched.
TEST(Forward, OffsetsPast32Bits) {
    constexpr int64_t far = ((int64_t)1 << 31) + 64;
    constexpr size_t bytes = (size_t)(far + 4096) * 2;
    Case c = make_case(2, 1, 1, 2, 2, 64);
    for (int axis = 0; axis < 3; axis++) {
        SCOPED_TRACE(testing::Message() << "axis " << axis);
        c.shape.batch = axis == 0 ? 2 : 1;
        c.shape.n_queries = c.shape.n_keys = axis == 1 ? 2 : 1;
        c.shape.n_heads = c.shape.n_kv_heads = axis == 2 ? 2 : 1;
        AttentionInputs<float> in = random_inputs(c);
        Call call(c, in);
        uint16_t *memory[4];
        qn_attn_view *views[] = {&call.params.q, &call.params.k, &call.params.v, &call.params.o};
        for (int i = 0; i < 4; i++) {
            memory[i] = (uint16_t *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            ASSERT_NE((void *)memory[i], MAP_FAILED);
            for (int part = 0; part < 2; part++)
                memcpy(memory[i] + part * far, views[i]->data + part * 64, 64 * 2);
            *views[i] = {memory[i], far, far, far};
        }
        EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
        Expected want = expected(c, in);
        std::vector<float> o;
        for (int part = 0; part < 2; part++)
            for (int d = 0; d < 64; d++) o.push_back(from_bits(memory[3][part * far + d]));
        harness::expect_as_good_as_plain(QN_F32, "o", o, want.plain.o, want.exact.o,
                                         want.exact.o_terms);
        for (uint16_t *m : memory) munmap(m, bytes);
    }
}

// Rows of which only the last few are ever touched; the others are zeros.
template <typename T> class LongRows {
  public:
    LongRows(int64_t rows, int64_t width)
        : bytes_((size_t)(rows * width) * sizeof(T)), rows_(rows), width_(width) {
        void *p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        data_ = p == MAP_FAILED ? nullptr : (T *)p;
    }
    ~LongRows() { munmap(data_, bytes_); }
    LongRows(const LongRows &) = delete;
    LongRows &operator=(const LongRows &) = delete;

    T *data() const { return data_; }
    T *last_rows(int64_t n) const { return data_ + (rows_ - n) * width_; }
    qn_attn_view fill_last_rows(qn_attn_view from, int64_t n) const {
        memcpy(last_rows(n), from.data, (size_t)(n * width_) * sizeof(T));
        return {data_, rows_ * width_, width_, width_};
    }

  private:
    size_t bytes_;
    int64_t rows_, width_;
    T *data_;
};

// A window or a document that ends with the last key sees the same, however many keys lie before
// it.
TEST(Forward, LongestSequence) {
    constexpr int64_t longest = QN_ATTN_MAX_LENGTH, n_keys = 300;
    LongRows<uint16_t> k(longest, 8), v(longest, 8);
    LongRows<int32_t> documents(longest, 1);
    ASSERT_TRUE(k.data() && v.data() && documents.data());
    std::fill_n(documents.last_rows(n_keys), n_keys, (int32_t)(longest - n_keys));
    for (bool document : {false, true}) {
        SCOPED_TRACE(testing::Message() << "document " << document);
        Case c = make_case(1, 70, n_keys, 1, 1, 8);
        c.shape.causal = !document;
        c.shape.window = document ? 0 : 150;
        c.stats = true;
        AttentionInputs<float> in = random_inputs(c);
        Call call(c, in);
        call.params.k = k.fill_last_rows(call.params.k, n_keys);
        call.params.v = v.fill_last_rows(call.params.v, n_keys);
        call.params.n_keys = (int32_t)longest;
        if (document) {
            call.params.doc_start = documents.data();
            call.params.window = (int32_t)longest - 1;
        }
        EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
        Expected want = expected(c, in);
        expect_right(call.result(), want);
        expect_stats(call.result(), want, 1, n_keys);
    }
}

} // namespace
