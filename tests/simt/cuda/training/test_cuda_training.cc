// test_cuda_training.cc: training runs on the emulated GPU: by the fused kernels, in recorded
// passes, like the CPU's, with the same bits where they are asked for, resumed here and there.
#include "harness/small_model.h"
#include "simt/config.h"
#include "simt/cuda/emulated/gpu.h"
#include "simt/launch.h"
#include "unit/train/tiny_run.h"

namespace {

class CudaTraining : public TinyRun {
  protected:
    void SetUp() override {
        TinyRun::SetUp();
        set("backend", "cuda");
        set("deterministic", "on");
        set("eval-every", "0");
    }

    std::vector<double> step_losses() const {
        std::vector<double> values;
        for (const qn_step_report &r : reports) values.push_back(r.loss);
        return values;
    }

    simt::ScopedGpu restored_gpu;
    simt::ScopedConfig restored_config;
};

double rms_difference(const std::vector<double> &x, const std::vector<double> &y) {
    EXPECT_EQ(x.size(), y.size());
    double sum = 0;
    for (size_t i = 0; i < y.size(); i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return std::sqrt(sum / (double)y.size());
}

// Twice what rounding the operands of products to bf16 alone does to a run on the CPU.
TEST_F(CudaTraining, TwentyStepsFollowTheCpu) {
    set("steps", "20");
    const int64_t forward = simt::count_launches("fused_sm80_forward");
    const int64_t backward = simt::count_launches("fused_sm80_backward");
    const int64_t naive = simt::count_launches("naive_softmax");
    ASSERT_OK(train());
    const std::vector<double> cuda = step_losses();
    EXPECT_GE(simt::count_launches("fused_sm80_forward") - forward, 20 * 2 * 2);
    EXPECT_EQ(simt::count_launches("fused_sm80_backward") - backward, 20 * 2 * 2);
    EXPECT_EQ(simt::count_launches("naive_softmax"), naive);
    set("backend", "cpu");
    set("precision", "fp32");
    in("fp32");
    ASSERT_OK(train());
    const std::vector<double> exact = step_losses();
    set("precision", "bf16");
    in("bf16");
    ASSERT_OK(train());
    const std::vector<double> products = step_losses();
    EXPECT_LT(cuda.back(), cuda.front() - 0.3);
    EXPECT_NE(cuda, exact);
    EXPECT_LE(rms_difference(cuda, exact), 2 * rms_difference(products, exact) + 1e-3);
}

TEST_F(CudaTraining, TheSameBitsTwiceInAnyOrderOfThreads) {
    set("steps", "3");
    ASSERT_OK(train());
    const std::vector<std::string> first = losses();
    simt::config().seed = 11;
    simt::config().async = simt::AsyncMode::kRandom;
    in("again");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), first);
}

TEST_F(CudaTraining, ResumesBitForBit) {
    ASSERT_OK(train());
    const std::vector<std::string> expected = losses();
    in("resumed");
    ASSERT_OK(train(false, 4));
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
    EXPECT_EQ(notes, "");
}

TEST_F(CudaTraining, ACheckpointOfEitherBackendGoesOnOnTheOther) {
    for (const char *from : {"cuda", "cpu"}) {
        const bool to_cpu = std::string(from) == "cuda";
        in(std::string("from-") + from);
        set("backend", from);
        ASSERT_OK(train(false, 3));
        const std::string weights = checkpoint(3) + "/model.safetensors";
        ASSERT_TRUE(std::filesystem::exists(weights));
        set("backend", to_cpu ? "cpu" : "cuda");
        ASSERT_OK(resume());
        EXPECT_EQ(losses().size(), (size_t)kSteps);
        EXPECT_LT(reports.back().loss, 4.2);
        EXPECT_NE(notes.find(to_cpu ? "in fp32, before" : "in bf16, before"), std::string::npos)
            << notes;
    }
}

TEST_F(CudaTraining, AutoTakesTheGpu) {
    set("backend", "auto");
    set("steps", "1");
    const int64_t launches = simt::count_launches("");
    ASSERT_OK(train());
    EXPECT_GT(simt::count_launches(""), launches);
    EXPECT_EQ(notes, "");
    EXPECT_NE(TempDir::read(run + "/run.json").find("Emulated GPU"), std::string::npos);
}

TEST_F(CudaTraining, AutoSaysWhyItPassesOverAGpu) {
    simt::gpu().major = 7;
    set("backend", "auto");
    set("steps", "1");
    const int64_t launches = simt::count_launches("");
    ASSERT_OK(train());
    EXPECT_EQ(simt::count_launches(""), launches);
    EXPECT_NE(notes.find("compute capability 7.0"), std::string::npos) << notes;
}

TEST_F(CudaTraining, AutoIsSilentWhereThereIsNoGpu) {
    simt::gpu().driver = 0;
    simt::gpu().count_error = cudaErrorInsufficientDriver;
    set("backend", "auto");
    set("steps", "1");
    ASSERT_OK(train());
    EXPECT_EQ(notes, "");
}

TEST_F(CudaTraining, APlanThatDoesNotFitSaysWhatItNeeds) {
    simt::gpu().memory = 1 << 20;
    EXPECT_ERROR(train(), QN_CODE_MEMORY, "the plan needs", "Emulated GPU", "GB free",
                 "--batch-size", "--recompute");
}

TEST_F(CudaTraining, Fp32IsRefusedWithWhatThereIs) {
    set("precision", "fp32");
    EXPECT_ERROR(train(), QN_CODE_USAGE, "fp32", "Emulated GPU", "bf16");
}

// ---- recorded passes ---------------------------------------------------------------------

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

TEST(CudaRecordedPasses, GiveTheBitsOfThoseThatAreNot) {
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
TEST(CudaRecordedPasses, AreRecordedAnewForAnotherScale) {
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
