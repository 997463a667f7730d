// The fused forward kernel against attention written out in double: shapes, strides and
// scales.
#include "attention_cases.h"
#include "forward_call.h"
#include "simt/config.h"

namespace {

using namespace attention;

TEST(Forward, Lengths) { for_each_case(cases_of_lengths({1, 65, 129}), check); }

TEST(Forward, LengthsExhaustive) {
    for_each_case(cases_of_lengths({17, 63, 64, 127, 128, 200}), check);
}

TEST(Forward, HeadDimensions) {
    for_each_case(cases_of_head_dims({8, 32, 80, 96, 192, 256}), check);
}

// What a block may have on compute capability 8.6, 8.9 and 12.0, the least of all.
TEST(Forward, FitsTheLeastSharedMemory) {
    simt::ScopedConfig saved;
    simt::config().shared_limit = 99 * 1024;
    for (int64_t head_dim : {64, 128, 256})
        for (bool stats : {false, true}) {
            SCOPED_TRACE(testing::Message() << "D " << head_dim << ", statistics " << stats);
            Case c = make_case(1, 1, 1, 1, 1, head_dim);
            c.stats = stats;
            run(c, random_inputs(c));
        }
}

TEST(Forward, Groups) { for_each_case(cases_of_groups(), check); }

TEST(Forward, Strides) { for_each_case(cases_of_strides(), check); }

TEST(Forward, Scales) { for_each_case(cases_of_scales(), check); }

TEST(Forward, LargeLogits) { check(case_of_large_logits()); }

} // namespace
