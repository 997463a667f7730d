// test_step_report.cc: what `quern bench step` prints and records, from figures made by hand.
#include "cli/step_report.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cstring>

#include "harness/status.h"
#include "harness/temp_dir.h"

namespace {

// One second a step on a GPU whose products reach 1 TFLOP/s and whose memory 1 TB/s; two profiled
// steps, so that figures of a step are halves.
class StepReport : public testing::Test {
  protected:
    StepReport() {
        qn_options_default(&options);
        snprintf(options.model, sizeof options.model, "tiny");
        options.batch_size = 4;
        options.seq_len = 8;
        options.grad_accum = 2;
        r.options = &options;
        r.device = "A \"GPU\" \\ of\n1 line";
        r.precision = "bf16";
        r.is_gpu = true;
        r.steps = 5;
        r.step_seconds = 1;
        r.best_seconds = 0.9;
        r.tokens_per_s = 64;
        r.flops_per_token = 4e9;
        r.gemm_flops_per_s = 1e12;
        r.gemm_m = r.wanted_m = 32;
        r.gemm_n = 16;
        r.gemm_k = 4;
        r.copy_bytes_per_s = 1e12;
        r.profiled_steps = 2;
        r.operations = operations;
        r.n_operations = 2;
        r.kernels = {kernels, 4, 1.3, 2};
        r.traced_seconds = 1.25;
        r.traced_idle = 0.04;
    }
    ~StepReport() override { json_decref(record); }

    std::string printed() {
        testing::internal::CaptureStdout();
        qn_step_print_figures(&r);
        qn_step_print_operations(&r);
        return testing::internal::GetCapturedStdout();
    }
    void expect_printed(const std::string &part) {
        const std::string text = printed();
        EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
    }
    void write() {
        ASSERT_OK(qn_step_write_json(&r, (dir / "step.json").c_str()));
        json_decref(record);
        record = json_load_file((dir / "step.json").c_str(), 0, nullptr);
        ASSERT_NE(record, nullptr);
    }
    json_t *member(const char *name) { return json_object_get(record, name); }
    std::string text(const char *name) { return json_string_value(member(name)); }
    static double number(json_t *of, const char *name) {
        return json_number_value(json_object_get(of, name));
    }
    static void expect_kernel(json_t *list, size_t i, const char *name, double launches,
                              double seconds) {
        json_t *kernel = json_array_get(list, i);
        ASSERT_NE(kernel, nullptr);
        EXPECT_STREQ(json_string_value(json_object_get(kernel, "kernel")), name);
        EXPECT_DOUBLE_EQ(number(kernel, "launches"), launches);
        EXPECT_DOUBLE_EQ(number(kernel, "seconds"), seconds);
    }

    qn_train_options options;
    qn_profile_entry operations[2] = {{"gemm", 20, 1.2, 0.5e12, 1e9},
                                      {"gemm backward", 2, 0.4, 0, 2e11}};
    qn_trace_row kernels[4] = {{"nvjet_of_forty_characters_and_one_more_of", "gemm", 20, 0.8},
                               {"split", "gemm backward", 4, 0.3},
                               {"split", "gemm", 6, 0.25},
                               {"memset", nullptr, 2, 0.1}};
    qn_step_bench r = {};
    TempDir dir;
    json_t *record = nullptr;
};

TEST_F(StepReport, KernelsStandBelowTheirOperation) {
    expect_printed("  gemm                                                10     600.00   75.0%"
                   "    250.000      0.42      416.7\n"
                   "      nvjet_of_forty_characters_and_one_more_of       10    400.000\n"
                   "      split                                            3    125.000\n"
                   "  gemm backward                                        1     200.00   25.0%"
                   "    100.000      0.50\n"
                   "      split                                            2    150.000\n"
                   "  outside of operations\n"
                   "      memset                                           1     50.000\n");
}

TEST_F(StepReport, SaysWhereTheIdleShareComesFrom) {
    expect_printed(
        "  idle 4.0 % of a step (traced: a whole step takes 1250.0 ms under the trace)\n");
    EXPECT_EQ(printed().find("no trace"), std::string::npos);
    r.traced_seconds = r.traced_idle = 0;
    r.kernels = {};
    strcpy(r.note, "no library");
    expect_printed("  idle 20.0 % of a step (estimated from events)\n"
                   "  no trace of kernels: no library\n");
    r.step_seconds = 0.5; // the profiled steps were longer
    expect_printed("  idle 0.0 % of a step (estimated from events)\n");
    r.is_gpu = false;
    EXPECT_EQ(printed().find("idle"), std::string::npos);
}

TEST_F(StepReport, SaysThatTheCeilingsProductIsSmaller) {
    EXPECT_EQ(printed().find("short"), std::string::npos);
    r.gemm_m = 8;
    expect_printed(
        "(matrix product 8×16×4, same run; memory is short for the model's, of 32 rows)");
}

TEST_F(StepReport, Json) {
    write();
    EXPECT_EQ(text("bench"), "step");
    EXPECT_EQ(text("device"), r.device); // escaped
    EXPECT_EQ(text("model"), "tiny");
    EXPECT_DOUBLE_EQ(number(record, "flops_per_token"), 4e9);
    EXPECT_DOUBLE_EQ(number(record, "share"), 0.256);
    EXPECT_EQ(json_integer_value(json_array_get(member("gemm_shape"), 2)), 4);
    EXPECT_DOUBLE_EQ(number(record, "idle"), 0.04);
    EXPECT_EQ(text("idle_source"), "traced");
    EXPECT_DOUBLE_EQ(number(record, "traced_step_seconds"), 1.25);
    EXPECT_TRUE(json_is_null(member("trace_note")));
    EXPECT_TRUE(json_is_null(member("utilisation")));
    json_t *gemm = json_array_get(member("operations"), 0);
    EXPECT_DOUBLE_EQ(number(gemm, "calls"), 10);
    EXPECT_DOUBLE_EQ(number(gemm, "floor_seconds"), 0.25);
    json_t *of_gemm = json_object_get(gemm, "kernels");
    EXPECT_EQ(json_array_size(of_gemm), 2u);
    expect_kernel(of_gemm, 0, kernels[0].kernel, 10, 0.4);
    expect_kernel(of_gemm, 1, "split", 3, 0.125);
    json_t *backward = json_object_get(json_array_get(member("operations"), 1), "kernels");
    EXPECT_EQ(json_array_size(backward), 1u);
    expect_kernel(backward, 0, "split", 2, 0.15);
    EXPECT_EQ(json_array_size(member("other_kernels")), 1u);
    expect_kernel(member("other_kernels"), 0, "memset", 1, 0.05);
}

TEST_F(StepReport, JsonWithoutATrace) {
    r.traced_seconds = r.traced_idle = 0;
    r.kernels = {};
    r.peak_flops_per_s = 1e12;
    strcpy(r.note, "no library");
    write();
    EXPECT_NEAR(number(record, "idle"), 0.2, 1e-9);
    EXPECT_EQ(text("idle_source"), "estimated");
    EXPECT_EQ(text("trace_note"), "no library");
    EXPECT_TRUE(json_is_null(member("traced_step_seconds")));
    EXPECT_DOUBLE_EQ(number(record, "utilisation"), 0.256);
    EXPECT_EQ(json_array_size(json_object_get(json_array_get(member("operations"), 0), "kernels")),
              0u);
    r.is_gpu = false;
    write();
    EXPECT_TRUE(json_is_null(member("idle")));
    EXPECT_TRUE(json_is_null(member("idle_source")));
}

TEST_F(StepReport, NamesThatJsonCannotHold) {
    r.device = "\xff";
    EXPECT_ERROR(qn_step_write_json(&r, (dir / "step.json").c_str()), QN_CODE_USAGE, "step.json",
                 "UTF-8");
}

} // namespace
