// test_cuda_training.cc: training runs on the emulated GPU: by the fused kernels, like the CPU's,
// with the same bits where they are asked for, resumed here and there.
#include <map>

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
        write_data(48); // the end of each run reads what is held out
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

// ---- like the CPU, by our kernels -------------------------------------------------------------

// Models of two layers: how many norms and so on a pass over a batch has.
struct Family {
    const char *name, *config; // config: NULL for that of TinyRun
    int64_t norms, ropes, swiglus;
};

void PrintTo(const Family &f, std::ostream *out) { *out << f.name; }

const Family kFamilies[] = {
    {"qwen3", nullptr, 4 * 2 + 1, 2 * 2, 2},
    {"llama", R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32,
                  "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
                  "num_key_value_heads": 2, "initializer_range": 0.1,
                  "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 0})",
     2 * 2 + 1, 2 * 2, 2},
    {"gpt2", R"({"architectures": ["GPT2LMHeadModel"], "vocab_size": 64, "n_embd": 32,
                 "n_layer": 2, "n_head": 4, "n_positions": 16, "initializer_range": 0.1,
                 "bos_token_id": 0, "eos_token_id": 0})",
     2 * 2 + 1, 0, 0}};

class TwentySteps : public CudaTraining, public testing::WithParamInterface<Family> {
  protected:
    enum { kTwenty = 20, kLayers = 2 };

    void SetUp() override {
        CudaTraining::SetUp();
        if (GetParam().config) dir.write("config.json", GetParam().config);
        set("grad-accum", "1");
        set("steps", std::to_string(kTwenty));
    }
    std::vector<double> on_cpu(const char *precision) {
        set("backend", "cpu");
        set("precision", precision);
        in(precision);
        EXPECT_OK(train());
        return step_losses();
    }
};

INSTANTIATE_TEST_SUITE_P(CudaTraining, TwentySteps, testing::ValuesIn(kFamilies),
                         [](const auto &info) { return info.param.name; });

// Launches from its making on of kernels with such names.
class Launches {
  public:
    explicit Launches(const std::vector<std::string> &names) {
        for (const std::string &name : names) before_[name] = simt::count_launches(name);
    }
    int64_t of(const std::string &name) const {
        return simt::count_launches(name) - before_.at(name);
    }

  private:
    std::map<std::string, int64_t> before_;
};

// The losses: twice what rounding the operands of products to bf16 alone does to a run on the CPU.
TEST_P(TwentySteps, FollowTheCpuByOurKernels) {
    const Family &family = GetParam();
    const int64_t graphs = simt::graph_launches();
    const Launches launches({"fused_sm80_forward", "fused_sm80_backward", "naive_softmax",
                             "norm_forward_kernel", "norm_backward_kernel", "rope_kernel",
                             "swiglu_forward", "swiglu_backward", "cross_entropy", "adamw_kernel"});
    ASSERT_OK(train());
    const std::vector<double> cuda = step_losses();
    // The last evaluation adds passes forward.
    const int64_t passes = launches.of("fused_sm80_forward") / kLayers;
    EXPECT_GT(passes, kTwenty);
    EXPECT_EQ(launches.of("fused_sm80_backward"), kTwenty * kLayers);
    EXPECT_EQ(launches.of("naive_softmax"), 0);
    EXPECT_EQ(launches.of("norm_forward_kernel"), passes * family.norms);
    EXPECT_EQ(launches.of("norm_backward_kernel"), kTwenty * family.norms);
    EXPECT_EQ(launches.of("rope_kernel"), (passes + kTwenty) * family.ropes);
    EXPECT_EQ(launches.of("swiglu_forward"), passes * family.swiglus);
    EXPECT_EQ(launches.of("swiglu_backward"), kTwenty * family.swiglus);
    EXPECT_EQ(launches.of("cross_entropy"), passes);
    EXPECT_EQ(launches.of("adamw_kernel"), kTwenty);
    // Both slots of the input are read once before what is done with them is recorded.
    EXPECT_EQ(simt::graph_launches() - graphs, kTwenty - 2);

    const std::vector<double> exact = on_cpu("fp32"), products = on_cpu("bf16");
    EXPECT_LT(cuda.back(), cuda.front() - 0.3);
    EXPECT_NE(cuda, exact);
    EXPECT_LE(rms_difference(cuda, exact), 2 * rms_difference(products, exact));
}

// ---- steps -------------------------------------------------------------------------------------

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

TEST_F(CudaTraining, ResumesStochasticRoundingBitForBitAndEndsItOnTheCpu) {
    set("weight-rounding", "stochastic");
    set("grad-accum", "1");
    set("steps", "4");
    ASSERT_OK(train());
    const std::vector<std::string> expected = losses();
    in("resumed");
    ASSERT_OK(train(false, 2));
    // In fp32 nothing is rounded: the CPU refuses, and leaves the run to a GPU.
    set("backend", "cpu");
    EXPECT_ERROR(resume(), QN_CODE_USAGE, "--weight-rounding is stochastic", "fp32",
                 "say --weight-rounding nearest", "a backend that stores bf16");
    set("backend", "cuda");
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
    EXPECT_EQ(notes, "");
    // The rounding may be given up, which is kept in mind.
    set("backend", "cpu");
    set("weight-rounding", "nearest");
    set("steps", "5");
    ASSERT_OK(resume());
    EXPECT_EQ(losses().size(), 5u);
    const std::string change = "from step 4 on --weight-rounding is nearest, before stochastic";
    EXPECT_NE(notes.find(change), std::string::npos) << notes;
    EXPECT_NE(TempDir::read(run + "/run.json").find('"' + change + '"'), std::string::npos);
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

// Longer evaluations copy no more from memory that is not page-locked.
TEST_F(CudaTraining, EvaluationReadsPageLockedMemory) {
    set("steps", "1");
    int64_t copies[2], evaluated[2];
    for (int i : {0, 1}) {
        in("run-" + std::to_string(i));
        write_data(i ? 100 : 34);
        const int64_t copied = simt::pageable_copies(), passes = simt::count_launches("entropy");
        ASSERT_OK(train());
        copies[i] = simt::pageable_copies() - copied;
        evaluated[i] = simt::count_launches("entropy") - passes;
    }
    EXPECT_GT(evaluated[1], evaluated[0]);
    EXPECT_EQ(copies[1], copies[0]);
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
