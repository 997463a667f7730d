// The fused backward kernels: which keys a row sees.
#include "attention_cases.h"
#include "backward_call.h"

namespace {

using namespace attention;

TEST(Backward, FewerQueriesThanKeys) { for_each_case(cases_of_fewer_queries(), check); }

TEST(Backward, Windows) { for_each_case(cases_of_windows({1, 64, 128, 129}), check); }

TEST(Backward, WindowsExhaustive) {
    for_each_case(cases_of_windows({2, 63, 65, 127, 1000}), check);
}

TEST(Backward, Documents) { for_each_case(cases_of_documents(), check); }

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

} // namespace
