// test_recorded.cc: the passes of a micro-step as one call, which a backend that records graphs
// launches as one; on the backend that stores bf16.
#include "harness/small_model.h"

namespace {

std::vector<float> gradients(SmallModel &m, const reference::Batch &batch, int passes,
                             double *loss) {
    const qn_batch b = view(batch);
    for (int i = 0; i < passes; i++) {
        EXPECT_OK(qn_model_zero_grads(m.model));
        EXPECT_OK(qn_model_train_pass(m.model, &b, 0, 0.125f, nullptr, nullptr));
    }
    EXPECT_OK(qn_model_loss_sum(m.model, 1, loss));
    return m.buffer(QN_BUF_GRADS);
}

TEST(RecordedPasses, GiveTheBitsOfThoseThatAreNot) {
    qn_plan_options o = bf16_storage(small_options(2, 12));
    o.deterministic = true;
    const qn_config config = small_config("Qwen3ForCausalLM");
    SmallModel once(config, o), often(config, o);
    const reference::Batch first = random_batch(config, 2, 12, 1);
    const reference::Batch second = random_batch(config, 2, 12, 2);
    double eager = 0, recorded = 0;
    const std::vector<float> expected = gradients(once, second, 1, &eager);
    gradients(often, first, 3, &recorded); // recorded with another batch
    EXPECT_NE(eager, recorded);
    EXPECT_EQ(gradients(often, second, 1, &recorded), expected);
    EXPECT_EQ(recorded, eager);
}

// What is recorded follows the statistics that are asked for, and the scale of the gradients.
TEST(RecordedPasses, AreRecordedAnewForAnotherScale) {
    qn_plan_options o = bf16_storage(small_options(1, 8));
    o.deterministic = true;
    const qn_config config = small_config("LlamaForCausalLM");
    SmallModel m(config, o), fresh(config, o);
    const reference::Batch batch = random_batch(config, 1, 8, 1);
    const qn_batch b = view(batch);
    double loss;
    gradients(m, batch, 3, &loss);
    ASSERT_OK(qn_model_zero_grads(m.model));
    ASSERT_OK(qn_model_train_pass(m.model, &b, 0, 0.5f, nullptr, nullptr));
    ASSERT_OK(qn_model_zero_grads(fresh.model));
    ASSERT_OK(qn_model_train_pass(fresh.model, &b, 0, 0.5f, nullptr, nullptr));
    EXPECT_EQ(m.buffer(QN_BUF_GRADS), fresh.buffer(QN_BUF_GRADS));
}

} // namespace
