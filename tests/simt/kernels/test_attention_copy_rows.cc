// Copies between views of any strides.
#include "attention_cases.h"
#include "forward_call.h"

namespace {

using namespace attention;

TEST(CopyRows, AnyStrides) {
    Case c = make_case(2, 5, 5, 3, 3, 40);
    std::vector<float> x = random_inputs(c).q;
    Tensor from(2, 5, 3, 40, 3), to(2, 5, 3, 40, 1);
    from.fill(x);
    EXPECT_EQ(qn_attn_copy_rows(to.view(), from.view(), 2, 5, 3, 40, queue()), 0);
    EXPECT_EQ(to.read(), x);
    to.expect_gaps_intact("copy");
}

} // namespace
