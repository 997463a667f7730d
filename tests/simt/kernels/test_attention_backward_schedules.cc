// The fused backward kernels: schedules, the fixed order of additions, and addresses.
#include <sys/mman.h>

#include "attention_cases.h"
#include "backward_call.h"
#include "simt/sweep.h"

namespace {

using namespace attention;

// The shapes here end a few rows and keys into their last tiles, most of which costs nothing then.

// dk and dv always have the same bits, dq too where its sums are ordered.
void check_schedules(int64_t head_dim, int schedules) {
    for (uint32_t limit : {simt::config().shared_limit, kSmallDevice}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim << ", shared memory " << limit);
        Case c = make_case(1, 66, 258, 2, 1, head_dim);
        AttentionInputs<float> in = random_inputs(c);
        Expected want = expected(c, in);
        Gradients first;
        simt::for_each_schedule(schedules, [&] {
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

TEST(Backward, SameBitsInEverySchedule) { check_schedules(64, 3); }

TEST(Backward, SameBitsInEveryScheduleExhaustive) { check_schedules(128, 3); }

// Two tiles of queries and two of keys, two heads of a group, causal: each schedule is right, and,
// in the race build, free of races.
TEST(Backward, FiftySchedules) {
    Case c = make_case(1, 66, 130, 2, 1, 64);
    c.shape.causal = true;
    AttentionInputs<float> in = random_inputs(c);
    Expected want = expected(c, in);
    simt::for_each_schedule(50, [&] {
        simt::config().shared_limit = kSmallDevice; // tiles of 64 queries
        simt::config().resident_blocks += 2;
        expect_right(run(c, in, want, kOrdered), want);
    });
}

// Under a window each tile of queries has other visitors; some leave whole heads' ends out.
TEST(Backward, OrderedUnderWindowsAndDocuments) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 100}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(1, 130, 260, 1, 1, 128);
            c.shape.causal = causal;
            c.shape.window = window;
            if (!window) c.shape.doc_start = documents(1, {90, 0, 100, 70});
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

// Three additions and more have an order; here ten blocks wait for each other.
TEST(Backward, OrderOfManyBlocks) {
    Case c = make_case(1, 20, 580, 1, 1, 128);
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
        Case c = make_case(1, 130, 260, 1, 1, 128);
        c.shape.causal = causal;
        AttentionInputs<float> in = random_inputs(c);
        Expected want = expected(c, in);
        std::mt19937 generator(5);
        for (int i = 0; i < 260; i++)
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
