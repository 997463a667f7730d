// test_step.cc: steps as the stepper takes them, which a backend that records graphs launches a
// micro-step at a time, against the same steps put together from their parts; on the backend that
// stores bf16.
#include "quern/step.h"

#include "harness/small_model.h"
#include "quern/optimizer.h"

namespace {

enum { kBatch = 2, kTokens = 12, kWindow = 4 };

struct Taken {
    std::vector<double> losses, norms;
    std::vector<float> params, m, v;
};

// Attention statistics of every layer, on the device.
class Stats {
  public:
    explicit Stats(SmallModel &model) : model(model), layers((size_t)model.config.n_layers) {
        const size_t heads = (size_t)model.config.n_heads;
        for (qn_attn_stats &s : layers) {
            s.local_window = kWindow;
            s.sums = (float *)zeroed(QN_ATTN_N_SUMS * heads * sizeof *s.sums);
            s.counts = (int64_t *)zeroed(QN_ATTN_N_COUNTS * heads * sizeof *s.counts);
        }
    }
    ~Stats() {
        for (qn_attn_stats &s : layers) {
            model.backend->ops->free(model.backend, s.sums);
            model.backend->ops->free(model.backend, s.counts);
        }
    }
    std::vector<int64_t> rows() const {
        std::vector<int64_t> rows;
        for (const qn_attn_stats &s : layers) {
            rows.push_back(-1);
            EXPECT_OK(model.backend->ops->copy(qn_model_stream(model.model), &rows.back(),
                                               s.counts + QN_ATTN_ROWS, sizeof rows.back(),
                                               QN_COPY_TO_HOST));
            EXPECT_OK(model.backend->ops->stream_sync(qn_model_stream(model.model)));
        }
        return rows;
    }

    SmallModel &model;
    std::vector<qn_attn_stats> layers;

  private:
    void *zeroed(size_t bytes) {
        void *memory = nullptr;
        EXPECT_OK(model.backend->ops->alloc(model.backend, bytes, &memory));
        EXPECT_OK(model.backend->ops->zero(qn_model_stream(model.model), memory, bytes));
        return memory;
    }
};

class Step : public testing::TestWithParam<int> {
  protected:
    Step() : config(small_config("Qwen3ForCausalLM")) {
        plan = bf16_storage(small_options(kBatch, kTokens));
        plan.grad_accum = accum();
        plan.deterministic = true;
        qn_options_default(&options);
        options.batch_size = kBatch;
        options.seq_len = kTokens;
        options.grad_accum = accum();
        EXPECT_OK(qn_comm_open(&comm));
    }
    ~Step() override { comm->ops->close(comm); }

    int accum() const { return GetParam(); }
    reference::Batch batch(int step, int micro_step) const {
        return random_batch(config, kBatch, kTokens, 100 * step + micro_step);
    }
    static double rate(int step) { return 1e-3 * step; }

    Taken taken(SmallModel &m, std::vector<double> losses, std::vector<double> norms) const {
        return {std::move(losses), std::move(norms), m.buffer(QN_BUF_PARAMS),
                m.buffer(QN_BUF_ADAM_M), m.buffer(QN_BUF_ADAM_V)};
    }

    Taken from_parts(int steps) {
        SmallModel m(config, plan);
        qn_optimizer optimizer;
        EXPECT_OK(qn_optimizer_open(m.model, &options, &optimizer));
        std::vector<double> losses, norms;
        for (int step = 1; step <= steps; step++) {
            EXPECT_OK(qn_model_zero_grads(m.model));
            double sum = 0;
            for (int g = 0; g < accum(); g++) {
                const reference::Batch filled = batch(step, g);
                const qn_batch b = view(filled);
                EXPECT_OK(
                    qn_model_forward(m.model, &b, g, 1.0f / (float)(kBatch * kTokens * accum())));
                EXPECT_OK(qn_model_backward(m.model, nullptr, nullptr));
                EXPECT_OK(qn_model_loss_sum(m.model, g + 1, &sum)); // the batch has been read
            }
            qn_optimizer_schedule(&optimizer, step, rate(step));
            EXPECT_OK(qn_optimizer_update(&optimizer));
            EXPECT_OK(qn_model_fetch_result(m.model));
            norms.push_back(0);
            EXPECT_OK(qn_model_step_result(m.model, &sum, &norms.back()));
            losses.push_back(sum);
        }
        const Taken out = taken(m, losses, norms);
        qn_optimizer_close(&optimizer);
        return out;
    }

    void take(qn_stepper *stepper, int step, Taken *out) {
        for (int g = 0; g < accum(); g++) {
            int32_t *tokens, *targets, *doc_start;
            const reference::Batch b = batch(step, g);
            ASSERT_OK(qn_stepper_input(stepper, &tokens, &targets, &doc_start));
            std::copy(b.tokens.begin(), b.tokens.end(), tokens);
            std::copy(b.targets.begin(), b.targets.end(), targets);
            ASSERT_OK(qn_stepper_pass(stepper, g, step, rate(step)));
        }
        out->losses.push_back(NAN);
        out->norms.push_back(NAN);
        ASSERT_OK(qn_stepper_result(stepper, &out->losses.back(), &out->norms.back()));
    }

    qn_config config;
    qn_plan_options plan;
    qn_train_options options;
    qn_comm *comm;
};

INSTANTIATE_TEST_SUITE_P(Accumulation, Step, testing::Values(1, 2, 4));

// Other batches, other rates and every slot of the input after what was recorded.
TEST_P(Step, GivesTheBitsOfItsParts) {
    const int steps = accum() == 1 ? 6 : 3; // each slot of the input three times
    SmallModel m(config, plan);
    qn_stepper *stepper;
    ASSERT_OK(qn_stepper_open(m.model, &options, options.seq_len, comm, &stepper));
    qn_device_info device;
    ASSERT_OK(m.backend->ops->device_info(m.backend, &device));
    EXPECT_EQ(qn_stepper_warm_steps(stepper), !device.graphs ? 1 : accum() == 1 ? 4 : 2);
    Taken by_steps;
    for (int step = 1; step <= steps; step++) take(stepper, step, &by_steps);
    by_steps = taken(m, by_steps.losses, by_steps.norms);
    qn_stepper_close(stepper);

    const Taken by_parts = from_parts(steps);
    EXPECT_EQ(by_steps.losses, by_parts.losses);
    EXPECT_EQ(by_steps.norms, by_parts.norms);
    EXPECT_EQ(by_steps.params, by_parts.params);
    EXPECT_EQ(by_steps.m, by_parts.m);
    EXPECT_EQ(by_steps.v, by_parts.v);
}

// Statistics are of the steps for which they were asked, though their work was recorded.
TEST_P(Step, FollowsTheStatisticsThatAreAskedFor) {
    SmallModel m(config, plan);
    Stats stats(m);
    qn_stepper *stepper;
    ASSERT_OK(qn_stepper_open(m.model, &options, options.seq_len, comm, &stepper));
    Taken taken;
    int counted = 0;
    for (int step = 1; step <= 6; step++) {
        const bool counts = step == 1 || step == 3 || step > 4;
        counted += counts;
        qn_model_set_stats(m.model, counts ? stats.layers.data() : nullptr);
        take(stepper, step, &taken);
    }
    qn_stepper_close(stepper);
    for (int64_t rows : stats.rows()) EXPECT_EQ(rows, counted * accum() * kBatch * kTokens);
}

} // namespace
