// test_cuda_training.cc: training runs on the emulated GPU: by the fused kernels, like the CPU's,
// with the same bits where they are asked for, resumed here and there.
#include "simt/config.h"
#include "simt/cuda/emulated/gpu.h"
#include "simt/cuda/emulated/ranges.h"
#include "simt/launch.h"
#include "simt/stream.h"
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
    const int64_t graphs = simt::graph_launches();
    ASSERT_OK(train());
    const std::vector<double> cuda = step_losses();
    EXPECT_GE(simt::count_launches("fused_sm80_forward") - forward, 20 * 2 * 2);
    EXPECT_EQ(simt::count_launches("fused_sm80_backward") - backward, 20 * 2 * 2);
    EXPECT_EQ(simt::count_launches("naive_softmax"), naive);
    EXPECT_EQ(simt::graph_launches() - graphs,
              19 * 2); // every micro-step but those of the first step
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
    EXPECT_LE(rms_difference(cuda, exact), 2 * rms_difference(products, exact));
}

// Once each slot of the input has been read, a step is a launch and a mark that its input was read,
// another launch and mark for each further micro-step, and a copy of the loss where all share a
// recording. From step `recorded` on (qn_stepper_warm_steps) nothing more is recorded.
TEST_F(CudaTraining, AStepIsOneLaunchAMicroStep) {
    const struct {
        const char *accum, *steps;
        size_t recorded;
        int64_t work;
    } all[] = {{"1", "6", 4, 2}, {"4", "4", 2, 10}};
    for (const auto &k : all) {
        set("grad-accum", k.accum);
        set("steps", k.steps);
        in(std::string("accum-") + k.accum);
        std::vector<int64_t> enqueued, graphs;
        after_step = [&] {
            enqueued.push_back(simt::pieces_enqueued());
            graphs.push_back(simt::graphs_made());
        };
        ASSERT_OK(train());
        for (size_t i = 2; i + 1 < enqueued.size(); i++) // the last one is followed by a save
            EXPECT_EQ(enqueued[i] - enqueued[i - 1], k.work) << k.accum << ", step " << i + 1;
        EXPECT_LT(graphs[k.recorded - 2], graphs[k.recorded - 1]) << k.accum;
        EXPECT_EQ(graphs[k.recorded - 1], graphs.back()) << k.accum;
    }
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
    simt::ranges() = {};
    ASSERT_OK(train());
    EXPECT_EQ(simt::ranges().begun["step/forward/attention"], 2 * 2); // micro-steps, layers
    EXPECT_EQ(simt::ranges().begun["step/optimizer"], 1);
    EXPECT_TRUE(simt::ranges().open.empty());
    EXPECT_EQ(simt::ranges().stray_ends, 0);
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
    simt::gpu().memory = 1 << 19;
    EXPECT_ERROR(train(), QN_CODE_MEMORY, "the plan needs", "Emulated GPU", "GB free",
                 "--batch-size 1", "--recompute block", "a smaller model");
}

TEST_F(CudaTraining, Fp32IsRefusedWithWhatThereIs) {
    set("precision", "fp32");
    EXPECT_ERROR(train(), QN_CODE_USAGE, "fp32", "Emulated GPU", "bf16");
}

} // namespace
