// The fused forward kernel against attention written out in double: shapes, strides and
// scales.
#include "forward_call.h"
#include "simt/config.h"

namespace {

using namespace attention;

void check_lengths(const std::vector<int64_t> &lengths) {
    for (int64_t head_dim : {64, 128})
        for (int64_t t : lengths)
            for (bool causal : {false, true}) {
                SCOPED_TRACE(testing::Message() << "D " << head_dim << ", T " << t << causal);
                Case c = make_case(1, t, t, 1, 1, head_dim);
                c.shape.causal = causal;
                c.seed = (uint32_t)(t + head_dim);
                check(c);
            }
}

TEST(Forward, Lengths) { check_lengths({1, 65, 129}); }

TEST(Forward, LengthsExhaustive) { check_lengths({17, 63, 64, 127, 128, 200}); }

TEST(Forward, HeadDimensions) {
    for (int64_t head_dim : {8, 32, 80, 96, 192, 256}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim);
        Case c = make_case(1, 70, 70, 2, 1, head_dim);
        c.shape.causal = true;
        check(c);
    }
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

TEST(Forward, BatchesAndGroups) {
    Case c = make_case(2, 67, 67, 6, 2, 64);
    c.shape.causal = true;
    check(c);
}

TEST(Forward, Strides) {
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

TEST(Forward, Scales) {
    for (double scale : {-0.125, 0.0, 1.0, 0.125}) {
        SCOPED_TRACE(testing::Message() << "scale " << scale);
        Case c = make_case(1, 140, 140, 1, 1, 64);
        c.shape.causal = true;
        c.shape.scale = scale;
        check(c);
    }
}

TEST(Forward, LargeLogits) {
    Case c = make_case(1, 140, 140, 1, 1, 64);
    c.spread = 8;
    check(c);
}

} // namespace
