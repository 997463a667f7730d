// test_cuda_recipes.cc: each file of recipes/ fits the card that it is named for, as the CUDA
// backend plans it, and holds what it says of its tokens.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "harness/status.h"
#include "quern/backend.h"
#include "quern/model_source.h"
#include "quern/options.h"
#include "simt/cuda/emulated/gpu.h"

namespace {

namespace fs = std::filesystem;

const int64_t kStepTokens = 1 << 19; // of all micro-steps
const int64_t kMostTokens = 1 << 16; // of one

const char kQuickstart[] = "quickstart-gpu";

// No more than CUDA counts on any card of the size; L2 and multiprocessors, by which workspaces
// grow, are at least theirs.
simt::Gpu card_of(const std::string &recipe) {
    simt::Gpu gpu;
    gpu.multiprocessors = 142;
    gpu.l2_bytes = 96 << 20;
    if (recipe.find("-80gb") != recipe.npos) gpu.memory = (size_t)80e9;
    if (recipe.find("-24gb") != recipe.npos) gpu.memory = (size_t)24e9;
    if (recipe == kQuickstart) gpu.memory = (size_t)8e9;
    return gpu;
}

// The last cell of the recipe's row in docs/recipes.md; 0 where there is none.
long planned_gb_in_guide(const std::string &recipe) {
    std::ifstream guide(QN_ROOT "/docs/recipes.md");
    for (std::string line; std::getline(guide, line);) {
        if (line.rfind("| `" + recipe + "` |", 0) != 0) continue;
        const std::string cells = line.substr(0, line.size() - 2);
        return std::stol(cells.substr(cells.rfind('|') + 1));
    }
    return 0;
}

class CudaRecipe : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        simt::gpu() = card_of(GetParam());
        qn_options_default(&options);
        const std::string path = QN_ROOT "/recipes/" + GetParam() + ".json";
        ASSERT_OK(qn_options_load(&options, path.c_str()));
        ASSERT_OK(qn_cuda_open(&backend));
        ASSERT_OK(qn_model_source_config(options.model, 0, &config));
        ASSERT_OK(qn_params_make(&config, &params));
    }
    void TearDown() override {
        qn_params_free(&params);
        if (backend) backend->ops->close(backend);
    }

    size_t planned_bytes(int64_t batch_size) {
        qn_plan_options o = qn_options_plan(&options);
        qn_plan plan = {};
        o.batch_size = batch_size;
        EXPECT_OK(qn_plan_set_precision(backend, (qn_precision)options.precision, &o));
        EXPECT_EQ(o.storage, QN_BF16);
        EXPECT_OK(qn_plan_make(backend, &config, &params, &o, &plan));
        return plan.total_bytes;
    }
    // Of the card, less 5 % and no less than 1 GB.
    static size_t room() {
        const size_t memory = simt::gpu().memory;
        return memory - std::max(memory / 20, (size_t)1e9);
    }

    simt::ScopedGpu restored_gpu;
    qn_train_options options;
    qn_backend *backend = nullptr;
    qn_config config = {};
    qn_params params = {};
};

TEST_P(CudaRecipe, FitsItsCard) {
    const size_t bytes = planned_bytes(options.batch_size);
    EXPECT_LE(bytes, room());
    EXPECT_EQ(planned_gb_in_guide(GetParam()), std::lround(1e-9 * (double)bytes));
}

TEST_P(CudaRecipe, HasTheLargestBatchThatFits) {
    if (GetParam() == kQuickstart) return;
    const int64_t twice = 2 * options.batch_size;
    EXPECT_TRUE(twice * options.seq_len > kMostTokens || planned_bytes(twice) > room());
}

TEST_P(CudaRecipe, IsNamedForItsModel) {
    if (GetParam() == kQuickstart) return;
    EXPECT_EQ(GetParam().rfind(std::string(options.model) + "-", 0), 0u) << options.model;
}

// docs/recipes.md: 2^19 tokens a step, 20 tokens a parameter, a warmup of 375 million tokens.
TEST_P(CudaRecipe, HasTheTokensThatItSays) {
    if (GetParam() == kQuickstart) return;
    EXPECT_EQ(options.batch_size * options.seq_len * options.grad_accum, kStepTokens);
    EXPECT_NEAR((double)options.steps, 20.0 * (double)params.n_params / kStepTokens, 0.5);
    EXPECT_NEAR((double)options.warmup, 375e6 / kStepTokens, 0.5);
}

std::vector<std::string> recipes() {
    std::vector<std::string> names;
    for (const fs::directory_entry &file : fs::directory_iterator(QN_ROOT "/recipes"))
        if (file.path().extension() == ".json") names.push_back(file.path().stem());
    std::sort(names.begin(), names.end());
    return names;
}
INSTANTIATE_TEST_SUITE_P(All, CudaRecipe, testing::ValuesIn(recipes()), [](const auto &info) {
    std::string name = info.param;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
    return name;
});

} // namespace
