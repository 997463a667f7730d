// The fused backward kernels against attention written out in double: shapes, masks, strides,
// schedules, and the fixed order of additions.
#include <sys/mman.h>

#include "attention_device.h"
#include "simt/sweep.h"

namespace {

using namespace attention;

enum Order { kAnyOrder, kOrdered };

// Devices with 100 KB of shared memory have shapes of their own.
constexpr uint32_t kSmallDevice = 99 * 1024;

// dq, dk and dv; and dq before it was rounded to bf16, which hides most changes of order.
struct Gradients : AttentionResult<float> {
    std::vector<float> dq_sum;
};

// dq, dk and dv of one call, and what it reads: o and lse as an exact forward pass leaves them.
class BackwardCall {
  public:
    BackwardCall(const Case &c, const AttentionInputs<float> &in,
                 const AttentionResult<double> &exact, Order order)
        : s(c.shape), call(c, in), dout(like_q(c.pad)), o(like_q(c.pad)), dq(like_dq(c)),
          dk(like_k(c.pad)), dv(like_k(c.pad)), delta((size_t)s.lse_size()),
          dq_sum(
              (size_t)(s.batch * s.n_heads * qn_attn_backward_dq_floats(s.head_dim, s.n_queries))),
          semaphores((size_t)(s.batch * s.n_kv_heads * qn_attn_backward_semaphores(s.n_keys) + 1)),
          slices(c.slices) {
        dout.fill(in.dout);
        o.fill(std::vector<float>(exact.o.begin(), exact.o.end()));
        qn_attn_params &p = call.params;
        for (int64_t i = 0; i < s.lse_size(); i++) p.lse[i * p.lse_row] = (float)exact.lse[i];
        p.dout = dout.view();
        p.o = o.view();
        p.dq = dq.view();
        p.dk = slices ? dq.view(s.n_heads) : dk.view();
        p.dv = slices ? dq.view(s.n_heads + s.n_kv_heads) : dv.view();
        p.delta = delta.data();
        p.dq_sum = dq_sum.data();
        p.semaphores = order == kOrdered ? semaphores.data() : nullptr;
    }

    Gradients run() {
        EXPECT_EQ(qn_attn_fused_sm80_backward(&call.params, nullptr), 0);
        dq.expect_gaps_intact("dq");
        dk.expect_gaps_intact("dk");
        dv.expect_gaps_intact("dv");
        Gradients r;
        r.dq = dq.read(0, s.n_heads);
        r.dk = slices ? dq.read(s.n_heads, s.n_kv_heads) : dk.read();
        r.dv = slices ? dq.read(s.n_heads + s.n_kv_heads, s.n_kv_heads) : dv.read();
        r.dq_sum = dq_sum.host();
        return r;
    }

    qn_attn_params &params() { return call.params; }

  private:
    Tensor like_q(int64_t pad) const {
        return Tensor(s.batch, s.n_queries, s.n_heads, s.head_dim, pad);
    }
    Tensor like_k(int64_t pad) const {
        return Tensor(s.batch, s.n_keys, s.n_kv_heads, s.head_dim, pad);
    }
    Tensor like_dq(const Case &c) const {
        int64_t width = c.slices ? s.n_heads + 2 * s.n_kv_heads : s.n_heads;
        return Tensor(s.batch, s.n_queries, width, s.head_dim, c.pad);
    }

    const AttentionShape s;
    Call call;
    Tensor dout, o, dq, dk, dv;
    DeviceArray<float> delta, dq_sum;
    DeviceArray<int32_t> semaphores;
    bool slices;
};

Gradients run(const Case &c, const AttentionInputs<float> &in, const Expected &want, Order order) {
    return BackwardCall(c, in, want.exact, order).run();
}

void expect_right(const AttentionResult<float> &result, const Expected &want) {
    const AttentionResult<double> &exact = want.exact;
    harness::expect_as_good_as_plain(QN_F32, "dq", result.dq, want.plain.dq, exact.dq,
                                     exact.dq_terms);
    harness::expect_as_good_as_plain(QN_F32, "dk", result.dk, want.plain.dk, exact.dk,
                                     exact.dk_terms);
    harness::expect_as_good_as_plain(QN_F32, "dv", result.dv, want.plain.dv, exact.dv,
                                     exact.dv_terms);
}

// In both orders, on a large and on a small device.
void check(const Case &c) {
    AttentionInputs<float> in = random_inputs(c);
    Expected want = expected(c, in);
    expect_right(run(c, in, want, kAnyOrder), want);
    simt::ScopedConfig saved;
    simt::config().shared_limit = kSmallDevice;
    expect_right(run(c, in, want, kOrdered), want);
}

Case make_case(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n_heads,
               int64_t n_kv_heads, int64_t head_dim) {
    Case c;
    c.shape = make_shape(batch, n_queries, n_keys, n_heads, n_kv_heads, head_dim);
    return c;
}

TEST(Backward, Lengths) {
    for (int64_t head_dim : {64, 128})
        for (int64_t t : {1, 17, 63, 64, 65, 129, 200})
            for (bool causal : {false, true}) {
                SCOPED_TRACE(testing::Message() << "D " << head_dim << ", T " << t << causal);
                Case c = make_case(1, t, t, 1, 1, head_dim);
                c.shape.causal = causal;
                c.seed = (uint32_t)(t + head_dim);
                check(c);
            }
}

TEST(Backward, HeadDimensions) {
    for (int64_t head_dim : {8, 32, 80, 96}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim);
        Case c = make_case(1, 70, 70, 2, 1, head_dim);
        c.shape.causal = true;
        check(c);
    }
}

TEST(Backward, Groups) {
    for (int64_t head_dim : {64, 128})
        for (int64_t n_kv_heads : {1, 2}) {
            SCOPED_TRACE(testing::Message() << "D " << head_dim << ", key heads " << n_kv_heads);
            Case c = make_case(3 - n_kv_heads, 67, 140, 3 * n_kv_heads, n_kv_heads, head_dim);
            c.shape.causal = true;
            check(c);
        }
}

TEST(Backward, FewerQueriesThanKeys) {
    for (bool causal : {false, true})
        for (int64_t n_queries : {1, 66, 130}) {
            SCOPED_TRACE(testing::Message() << n_queries << " queries, causal " << causal);
            Case c = make_case(1, n_queries, 333, 1, 1, 64);
            c.shape.causal = causal;
            check(c);
            c.shape.window = 60;
            check(c);
        }
}

TEST(Backward, Strides) {
    Case c = make_case(2, 70, 70, 2, 1, 128);
    c.slices = true;
    check(c);
    c.pad = 8;
    check(c);
    c.slices = false;
    check(c);
    c.shape.head_dim = 80;
    check(c);
}

TEST(Backward, Windows) {
    for (int64_t head_dim : {64, 128})
        for (bool causal : {false, true})
            for (int64_t window : {1, 63, 64, 65, 127, 128, 129, 1000}) {
                if (head_dim == 128 && window % 64 == 1) continue;
                SCOPED_TRACE(testing::Message()
                             << "D " << head_dim << ", window " << window << causal);
                Case c = make_case(1, 150, 150, 1, 1, head_dim);
                c.shape.causal = causal;
                c.shape.window = window;
                check(c);
            }
}

TEST(Backward, Documents) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 20}) {
            SCOPED_TRACE(testing::Message() << "causal " << causal << ", window " << window);
            Case c = make_case(2, 261, 261, 1, 1, 64);
            c.shape.doc_start = documents(2, {3, 0, 0, 61, 64, 0, 1, 129, 2, 1});
            c.shape.causal = causal;
            c.shape.window = window;
            check(c);
        }
}

TEST(Backward, DocumentsWithFewerQueries) {
    Case c = make_case(1, 100, 230, 3, 1, 128);
    c.shape.doc_start = documents(1, {100, 60, 0, 50, 20});
    check(c);
    c.shape.causal = true;
    check(c);
}

// Where lse is −inf, what a row's dout says counts nowhere: as if it were 0, in a document of such
// rows. Rows whose doc_start lies past them see nothing; others may have scores of no weight.
TEST(Backward, RowsThatSeeNothing) {
    for (bool by_document : {false, true})
        for (int64_t hidden : {1, 40, 150}) {
            SCOPED_TRACE(testing::Message()
                         << hidden << " hidden rows, by document " << by_document);
            Case c = make_case(1, 150, 150, 1, 1, 64);
            c.shape.causal = hidden == 40;
            c.shape.doc_start = documents(1, {150 - hidden, hidden});
            AttentionInputs<float> in = random_inputs(c), quiet = in;
            std::fill(quiet.dout.begin() + (150 - hidden) * 64, quiet.dout.end(), 0.0f);
            Expected want = expected(c, quiet);
            for (int64_t i = 150 - hidden; i < 150; i++) {
                if (by_document) c.shape.doc_start[i] = (int32_t)i + 1;
                want.exact.lse[i] = -INFINITY;
                std::fill_n(want.exact.o.begin() + i * 64, 64, 0.0);
            }
            Gradients result = run(c, in, want, kAnyOrder);
            expect_right(result, want);
            for (int64_t i = (150 - hidden) * 64; i < 150 * 64; i++) {
                ASSERT_EQ(result.dq[i], 0) << "element " << i;
                ASSERT_EQ(result.dk[i], 0) << "element " << i;
                ASSERT_EQ(result.dv[i], 0) << "element " << i;
            }
        }
}

TEST(Backward, NoKeys) {
    Case c = make_case(1, 5, 0, 2, 1, 64);
    AttentionInputs<float> in = random_inputs(c);
    Expected want = {};
    want.exact.o.assign(in.q.size(), 0);
    want.exact.lse.assign((size_t)c.shape.lse_size(), -INFINITY);
    for (float x : run(c, in, want, kOrdered).dq) ASSERT_EQ(x, 0);
}

TEST(Backward, Scales) {
    for (double scale : {-0.125, 0.0, 1.0}) {
        SCOPED_TRACE(testing::Message() << "scale " << scale);
        Case c = make_case(1, 140, 140, 1, 1, 64);
        c.shape.causal = true;
        c.shape.scale = scale;
        check(c);
    }
}

TEST(Backward, LargeLogits) {
    Case c = make_case(1, 140, 140, 1, 1, 64);
    c.spread = 8;
    check(c);
}

// Rounding P and dS leans to neither side: over many elements the mean error is within what the
// errors' own spread explains, at four standard deviations.
TEST(Backward, NoBias) {
    Case c = make_case(1, 200, 200, 3, 3, 64);
    AttentionInputs<float> in = random_inputs(c);
    for (auto *x : {&in.v, &in.dout})
        for (float &e : *x) e = std::abs(e);
    Expected want = expected(c, in);
    Gradients result = run(c, in, want, kAnyOrder);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < result.dv.size(); i++) {
        double error = result.dv[i] - want.exact.dv[i];
        sum += error;
        squares += error * error;
    }
    EXPECT_LT(std::abs(sum), 4 * std::sqrt(squares));
}

// ---- delta alone ----------------------------------------------------------------------

TEST(Delta, RowSums) {
    for (int64_t head_dim : {8, 64, 120, 256}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim);
        Case c = make_case(2, 70, 70, 3, 1, head_dim);
        c.pad = 8;
        AttentionInputs<float> in = random_inputs(c);
        Tensor o(2, 70, 3, head_dim, 8), dout(2, 70, 3, head_dim, 8);
        o.fill(in.q);
        dout.fill(in.dout);
        DeviceArray<float> delta(2 * 3 * 70);
        Call call(c, in);
        call.params.o = o.view();
        call.params.dout = dout.view();
        call.params.delta = delta.data();
        EXPECT_EQ(qn_attn_delta(&call.params, 0, 0, nullptr), 0);
        for (int64_t b = 0; b < 2; b++)
            for (int64_t h = 0; h < 3; h++)
                for (int64_t t = 0; t < 70; t++) {
                    double sum = 0, terms = 0;
                    for (int64_t d = 0; d < head_dim; d++) {
                        size_t at = (size_t)(((b * 70 + t) * 3 + h) * head_dim + d);
                        sum += (double)in.q[at] * in.dout[at];
                        terms += std::abs((double)in.q[at] * in.dout[at]);
                    }
                    ASSERT_NEAR(delta.data()[(b * 3 + h) * 70 + t], sum, terms * 8 * 0x1p-24);
                }
    }
}

// ---- schedules and addresses ------------------------------------------------------------

// dk and dv always have the same bits, dq too where its sums are ordered.
TEST(Backward, SameBitsInEverySchedule) {
    for (int64_t head_dim : {64, 128})
        for (uint32_t limit : {simt::config().shared_limit, kSmallDevice}) {
            SCOPED_TRACE(testing::Message() << "D " << head_dim << ", shared memory " << limit);
            Case c = make_case(1, 70, 330, 2, 1, head_dim);
            AttentionInputs<float> in = random_inputs(c);
            Expected want = expected(c, in);
            Gradients first;
            simt::for_each_schedule(3, [&] {
                simt::config().shared_limit = limit;
                simt::config().resident_blocks += 2;
                Gradients ordered = run(c, in, want, kOrdered);
                Gradients any = run(c, in, want, kAnyOrder);
                if (first.dq.empty()) first = ordered;
                EXPECT_TRUE(harness::same_bits(ordered.dq_sum, first.dq_sum));
                for (auto *result : {&ordered, &any}) {
                    expect_right(*result, want);
                    EXPECT_TRUE(harness::same_bits(result->dk, first.dk));
                    EXPECT_TRUE(harness::same_bits(result->dv, first.dv));
                }
            });
        }
}

// Under a window each tile of queries has other visitors; some leave whole heads' ends out.
TEST(Backward, OrderedUnderWindowsAndDocuments) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 150}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(1, 190, 380, 1, 1, 128);
            c.shape.causal = causal;
            c.shape.window = window;
            if (!window) c.shape.doc_start = documents(1, {130, 0, 150, 100});
            AttentionInputs<float> in = random_inputs(c);
            Expected want = expected(c, in);
            Gradients first;
            simt::for_each_schedule(3, [&] {
                simt::config().resident_blocks += 2;
                Gradients result = run(c, in, want, kOrdered);
                expect_right(result, want);
                if (first.dq.empty()) first = result;
                EXPECT_TRUE(harness::same_bits(result.dq_sum, first.dq_sum));
            });
        }
}

// Three additions and more have an order; here fifteen blocks wait for each other.
TEST(Backward, OrderOfManyBlocks) {
    Case c = make_case(1, 20, 930, 1, 1, 128);
    AttentionInputs<float> in = random_inputs(c);
    Expected want = expected(c, in);
    Gradients first;
    simt::for_each_schedule(12, [&] {
        simt::config().shared_limit = kSmallDevice;
        simt::config().resident_blocks += 4;
        Gradients result = run(c, in, want, kOrdered);
        if (first.dq.empty()) first = result;
        EXPECT_TRUE(harness::same_bits(result.dq_sum, first.dq_sum));
    });
    expect_right(first, want);
}

// Nonsense in doc_start gives nonsense, but ends, within bounds.
TEST(Backward, OrderedEndsWhateverDocumentsSay) {
    for (bool causal : {false, true}) {
        Case c = make_case(1, 300, 300, 1, 1, 128);
        c.shape.causal = causal;
        AttentionInputs<float> in = random_inputs(c);
        Expected want = expected(c, in);
        std::mt19937 generator(5);
        for (int i = 0; i < 300; i++)
            c.shape.doc_start.push_back((int32_t)(generator() % 400) - 100);
        run(c, in, want, kOrdered);
    }
}

// Sequences, then rows, then heads 2^31 elements apart, in memory that is mapped but mostly
// never touched.
TEST(Backward, OffsetsPast32Bits) {
    constexpr int64_t far = ((int64_t)1 << 31) + 64;
    constexpr size_t bytes = (size_t)(far + 4096) * 2;
    Case c = make_case(2, 1, 1, 2, 2, 64);
    for (int axis = 0; axis < 3; axis++) {
        SCOPED_TRACE(testing::Message() << "axis " << axis);
        c.shape.batch = axis == 0 ? 2 : 1;
        c.shape.n_queries = c.shape.n_keys = axis == 1 ? 2 : 1;
        c.shape.n_heads = c.shape.n_kv_heads = axis == 2 ? 2 : 1;
        AttentionInputs<float> in = random_inputs(c);
        Expected want = expected(c, in);
        BackwardCall call(c, in, want.exact, kAnyOrder);
        qn_attn_params &p = call.params();
        qn_attn_view *views[] = {&p.q, &p.k, &p.v, &p.o, &p.dout, &p.dq, &p.dk, &p.dv};
        uint16_t *memory[8];
        for (int i = 0; i < 8; i++) {
            memory[i] = (uint16_t *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            ASSERT_NE((void *)memory[i], MAP_FAILED);
            for (int part = 0; part < 2; part++)
                memcpy(memory[i] + part * far, views[i]->data + part * 64, 64 * 2);
            *views[i] = {memory[i], far, far, far};
        }
        call.run();
        AttentionResult<float> result;
        std::vector<float> *gradients[] = {&result.dq, &result.dk, &result.dv};
        for (int i = 0; i < 3; i++)
            for (int part = 0; part < 2; part++)
                for (int d = 0; d < 64; d++)
                    gradients[i]->push_back(from_bits(memory[5 + i][part * far + d]));
        expect_right(result, want);
        for (uint16_t *m : memory) munmap(m, bytes);
    }
}

} // namespace
