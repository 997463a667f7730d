// test_cuda_trace.cc: what the trace of the CUDA backend says ran, for how long and whose it was;
// and what it says where CUPTI is missing, refuses or loses records.
#include <quern/profile.h>
#include <quern/trace.h>

#include <map>

#include "harness/backend.h"
#include "simt/cuda/emulated/activity.h"
#include "simt/cuda/emulated/gpu.h"
#include "simt/stream.h"

using namespace harness;

namespace {

using Rows = std::map<std::pair<std::string, std::string>, int64_t>; // {kernel, op}: launches

class CudaTrace : public testing::Test {
  protected:
    CudaTrace() {
        expect_ok(qn_cuda_open(&backend));
        expect_ok(ops().alloc(backend, 4 * kCount, &memory));
        expect_ok(ops().stream_create(backend, &stream));
    }
    ~CudaTrace() override {
        simt::defer_streams(false);
        if (trace) trace->ops->close(trace);
        ops().range_begin(backend, "of nobody");
        EXPECT_EQ(simt::cupti_use().held, 0);
        EXPECT_EQ(simt::cupti_use().enabled, 0);
        EXPECT_EQ(simt::cupti_use().ranges, 0u);
        ops().range_end(backend);
        ops().stream_destroy(stream);
        ops().free(backend, memory);
        ops().close(backend);
    }

    const qn_ops &ops() { return *backend->ops; }
    void open() { expect_ok(ops().trace_open(backend, &trace)); }
    void refuse(const std::vector<std::string> &words) {
        expect_refused(ops().trace_open(backend, &trace), QN_CODE_UNSUPPORTED, words);
        EXPECT_EQ(trace, nullptr);
    }

    // One kernel.
    void add(qn_stream *on = nullptr) {
        const qn_tensor x = qn_tensor_2d(memory, QN_BF16, 4, kCount / 4);
        expect_ok((on ? on->backend : backend)->ops->add(on ? on : stream, x, x, x));
    }
    void zero() { expect_ok(ops().zero(stream, memory, 64)); }
    void copy() { expect_ok(ops().copy(stream, memory, kHost, 64, QN_COPY_TO_DEVICE)); }

    void start() { expect_ok(trace->ops->start(trace)); }
    void stop() { expect_ok(trace->ops->stop(trace)); }
    qn_trace_reading read() {
        qn_trace_reading reading = {};
        expect_ok(trace->ops->read(trace, &reading));
        return reading;
    }
    Rows rows() {
        Rows found;
        const qn_trace_reading r = read();
        double all = 0;
        for (int i = 0; i < r.n_rows; i++) {
            const qn_trace_row &row = r.rows[i];
            EXPECT_TRUE(found.insert({{row.kernel, row.op ? row.op : "none"}, row.launches}).second)
                << "two rows of " << row.kernel;
            EXPECT_GE(r.rows[i ? i - 1 : 0].seconds, row.seconds);
            EXPECT_GT(row.seconds, 0);
            all += row.seconds;
        }
        // One stream: nothing overlaps.
        EXPECT_NEAR(r.busy_seconds, all, 1e-12 * (double)(r.n_rows + 1));
        EXPECT_LE(r.busy_seconds, r.span_seconds);
        return found;
    }

    static constexpr int64_t kCount = 64;
    static constexpr char kHost[64] = {};
    simt::ScopedGpu restored;
    simt::Gpu &gpu = simt::gpu();
    qn_backend *backend = nullptr;
    qn_stream *stream = nullptr;
    qn_trace *trace = nullptr;
    void *memory = nullptr;
};
constexpr char CudaTrace::kHost[64];

// ---- rows -------------------------------------------------------------------------------------

TEST_F(CudaTrace, KernelsCopiesAndMemsetsWithTheInnermostRange) {
    open();
    start();
    zero();
    ops().range_begin(backend, "outer");
    copy();
    ops().range_begin(backend, "inner");
    add(), add();
    copy();
    ops().range_end(backend);
    add();
    ops().range_end(backend);
    copy();
    stop();
    EXPECT_EQ(rows(), (Rows{{{"memset", "none"}, 1},
                            {{"memcpy", "outer"}, 1},
                            {{"add_kernel", "inner"}, 2},
                            {{"memcpy", "inner"}, 1},
                            {{"add_kernel", "outer"}, 1},
                            {{"memcpy", "none"}, 1}}));
}

TEST_F(CudaTrace, OnlyFromStartToStop) {
    open();
    add(), zero();
    start();
    add();
    stop();
    copy(), add();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "none"}, 1}}));
    start();
    copy();
    stop();
    EXPECT_EQ(rows(), (Rows{{{"memcpy", "none"}, 1}}));
    start();
    stop();
    EXPECT_EQ(rows(), Rows());
    EXPECT_EQ(read().busy_seconds, 0);
}

// Even where records are delivered at once.
TEST_F(CudaTrace, NothingIsAddedAfterTheStop) {
    gpu.cupti_records = 1;
    open();
    start();
    add();
    stop();
    for (int i = 0; i < 3; i++) copy();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "none"}, 1}}));
}

// What was launched before the start does not count, even if it runs late; what was launched before
// the stop does.
TEST_F(CudaTrace, WaitsForTheDevice) {
    open();
    simt::defer_streams(true);
    copy();
    start();
    add();
    stop();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "none"}, 1}}));
}

TEST_F(CudaTrace, OperationsOfAProfile) {
    open();
    qn_backend *profile;
    qn_stream *timed;
    expect_ok(qn_profile_open(backend, &profile));
    expect_ok(profile->ops->stream_create(profile, &timed));
    start();
    add(timed), add(timed);
    expect_ok(profile->ops->zero(timed, memory, 64));
    // A refused call leaves no range open.
    expect_refused(profile->ops->zero(timed, nullptr, 64), QN_CODE_INVALID, {"dst is NULL"});
    stop();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "add"}, 2}, {{"memset", "zero"}, 1}}));
    profile->ops->stream_destroy(timed);
    profile->ops->close(profile);
}

TEST_F(CudaTrace, GraphsCountEachTimeTheyRun) {
    open();
    qn_graph *graph;
    ops().range_begin(backend, "recorded");
    expect_ok(ops().capture_begin(stream));
    add(), copy(), add();
    expect_ok(ops().capture_end(stream, &graph));
    ops().range_end(backend);
    start();
    ops().range_begin(backend, "replayed");
    for (int i = 0; i < 3; i++) expect_ok(ops().graph_launch(stream, graph));
    ops().range_end(backend);
    stop();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "replayed"}, 6}, {{"memcpy", "replayed"}, 3}}));
    ops().graph_destroy(graph);
}

// ---- names ------------------------------------------------------------------------------------

TEST_F(CudaTrace, NamesOfFunctions) {
    const char *const names[][2] = {
        {"_Z5plainv", "plain"},
        {"plain_c", "plain_c"},
        {"nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNT", "nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNT"},
        {"_ZN5quern7softmaxILi64EEEvPKf", "softmax"},     // void quern::softmax<64>(…)
        {"_ZN12_GLOBAL__N_14fillEPfi", "fill"},           // (anonymous namespace)::fill
        {"_ZN5outer3BoxIiE4workIfLi3EEEvT_i", "work"},    // outer::Box<int>::work<…>
        {"_ZN1a1fINS_1gIiEEEEvT_PFviE", "f"},             // a function among parameters
        {"_Z4withI3BoxIN12_GLOBAL__N_11cEEEvT_", "with"}, // …<Box<(anonymous namespace)::c>>
        {"_ZN5OuterIL4Mode1EE4workIiEEvv", "work"},       // Outer<(Mode)1>::work<int>
        {"_Z", "_Z"},
        {"", ""},
    };
    for (const auto &[given, want] : names) {
        SCOPED_TRACE(given);
        if (!trace) open();
        start();
        const uint64_t now = simt::cupti_now();
        simt::add_cupti_kernel(given, now, now + 1);
        stop();
        EXPECT_EQ(rows(), (Rows{{{want, "none"}, 1}}));
    }
}

TEST_F(CudaTrace, InstancesOfATemplateAreOneRow) {
    open();
    start();
    const uint64_t now = simt::cupti_now();
    const char *const narrow = "_ZN5quern7softmaxILi64EEEvPKf";
    const char *const wide = "_ZN5quern7softmaxILi128EEEvPKf";
    simt::add_cupti_kernel(narrow, now, now + 1);
    ops().range_begin(backend, "op");
    for (int i = 0; i < 2; i++) {
        simt::add_cupti_kernel(wide, now + 1, now + 3);
        simt::add_cupti_kernel(narrow, now + 3, now + 7);
    }
    ops().range_end(backend);
    stop();
    const qn_trace_reading r = read();
    ASSERT_EQ(r.n_rows, 2);
    EXPECT_STREQ(r.rows[0].op, "op");
    EXPECT_EQ(r.rows[0].launches, 4);
    EXPECT_NEAR(r.rows[0].seconds, 12e-9, 1e-15);
    EXPECT_EQ(r.rows[1].op, nullptr);
    EXPECT_NEAR(r.rows[1].seconds, 1e-9, 1e-15);
}

// ---- busy -------------------------------------------------------------------------------------

TEST_F(CudaTrace, BusyIsTheUnionOfIntervals) {
    struct Interval {
        uint64_t begin, end; // ns from the start
    };
    const struct {
        std::vector<Interval> ran;
        double busy;
    } cases[] = {
        {{{100, 200}, {300, 450}}, 250},             // apart
        {{{100, 300}, {200, 400}}, 300},             // overlapping
        {{{100, 900}, {200, 300}, {400, 500}}, 800}, // inside another
        {{{100, 200}, {200, 300}}, 200},             // touching
        {{{400, 500}, {100, 200}, {150, 450}}, 400}, // in any order
        {{{100, 200}, {100, 200}, {100, 150}}, 100}, // together
        {{{100, 100}}, 0},
    };
    open();
    for (const auto &c : cases) {
        start();
        const uint64_t now = simt::cupti_now();
        for (const Interval &i : c.ran) simt::add_cupti_kernel("k", now + i.begin, now + i.end);
        while (simt::cupti_now() < now + 1000) continue;
        stop();
        EXPECT_NEAR(read().busy_seconds, 1e-9 * c.busy, 1e-15);
        EXPECT_GE(read().span_seconds, 1e-6);
    }
}

// The clocks of the host and of the GPU agree to a few µs only.
TEST_F(CudaTrace, BusyDoesNotPassTheSpan) {
    open();
    start();
    const uint64_t now = simt::cupti_now();
    simt::add_cupti_kernel("k", now - 1000000000, now + 1000000000);
    stop();
    const qn_trace_reading r = read();
    EXPECT_EQ(r.busy_seconds, r.span_seconds);
    EXPECT_NEAR(r.rows[0].seconds, 2, 1e-9);
}

// ---- buffers ----------------------------------------------------------------------------------

TEST_F(CudaTrace, RecordsThatComeInManyPieces) {
    gpu.cupti_records = 3;
    open();
    start();
    const int before = simt::cupti_use().buffers;
    for (int i = 0; i < 50; i++) {
        ops().range_begin(backend, i % 2 ? "odd" : "even");
        add(), copy();
        ops().range_end(backend);
    }
    stop();
    EXPECT_GT(simt::cupti_use().buffers - before, 50);
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "even"}, 25},
                            {{"add_kernel", "odd"}, 25},
                            {{"memcpy", "even"}, 25},
                            {{"memcpy", "odd"}, 25}}));
}

TEST_F(CudaTrace, MoreThanOneBufferHolds) {
    open();
    start();
    const int before = simt::cupti_use().buffers, count = 20000;
    for (int i = 0; i < count; i++) zero();
    stop();
    EXPECT_GT(simt::cupti_use().buffers - before, 1);
    EXPECT_EQ(rows(), (Rows{{{"memset", "none"}, count}}));
}

TEST_F(CudaTrace, ManyRanges) {
    std::vector<std::string> names;
    for (int i = 0; i < 100; i++) names.push_back("range " + std::to_string(i));
    Rows want;
    open();
    start();
    for (int i = 0; i < 200; i++) {
        ops().range_begin(backend, names[(size_t)i % 100].c_str());
        zero();
        ops().range_end(backend);
        want[{"memset", names[(size_t)i % 100]}] = 2;
    }
    stop();
    EXPECT_EQ(rows(), want);
}

TEST_F(CudaTrace, RecordsThatAreLostAreAnError) {
    open();
    gpu.cupti_most_records = 5;
    start();
    for (int i = 0; i < 4; i++) add(); // a call and a kernel each
    expect_refused(trace->ops->stop(trace), QN_CODE_MEMORY, {"3 records", "lost", "memory"});
    gpu.cupti_most_records = 0;
    start();
    expect_ok(trace->ops->stop(trace));
    add(); // lost before the start
    gpu.cupti_most_records = SIZE_MAX;
    start();
    add();
    stop();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "none"}, 1}}));
}

TEST_F(CudaTrace, KernelsWithoutTimesAreLost) {
    open();
    gpu.cupti_times = false;
    start();
    add(), add(), zero();
    expect_refused(trace->ops->stop(trace), QN_CODE_MEMORY, {"2 records", "lost"});
    gpu.cupti_times = true;
    start();
    stop();
}

// ---- where nothing can be traced ----------------------------------------------------------------

TEST_F(CudaTrace, NoLibrary) {
    gpu.cupti_folder = nullptr;
    refuse({"libcupti.so.13", "not found", "no such file", "install CUPTI", "LD_LIBRARY_PATH"});
}

TEST_F(CudaTrace, TheLibraryAmongTheToolkits) {
    for (const char *folder : {"./", "./../extras/CUPTI/lib64/", "/usr/local/cuda/lib64/",
                               "/usr/local/cuda/extras/CUPTI/lib64/"}) {
        gpu.cupti_folder = folder;
        open();
        ASSERT_NE(trace, nullptr) << folder;
        trace->ops->close(trace);
        trace = nullptr;
    }
}

TEST_F(CudaTrace, OldLibrary) {
    gpu.cupti_version = CUPTI_API_VERSION - 1;
    refuse({"version 130000", "needs 130001", "newer CUPTI", "LD_LIBRARY_PATH"});
    gpu.cupti_version = CUPTI_API_VERSION + 100;
    open();
}

TEST_F(CudaTrace, NoPrivileges) {
    gpu.cupti_refusal = CUPTI_ERROR_INSUFFICIENT_PRIVILEGES;
    refuse({"CUPTI_ERROR_INSUFFICIENT_PRIVILEGES", "root", "NVreg_RestrictProfilingToAdminUsers=0",
            "SYS_ADMIN"});
    gpu.cupti_refusal = CUPTI_SUCCESS;
    open(); // nothing of the refused one is left
}

TEST_F(CudaTrace, OtherRefusals) {
    gpu.cupti_refusal = CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
    refuse({"another profiler"});
    gpu.cupti_refusal = (CUptiResult)77;
    refuse({"unknown", "77", "manual"});
    gpu.cupti_refusal = CUPTI_ERROR_OUT_OF_MEMORY;
    expect_refused(ops().trace_open(backend, &trace), QN_CODE_MEMORY, {"smaller batch"});
}

TEST_F(CudaTrace, OneAtATime) {
    open();
    qn_trace *first = trace;
    refuse({"a trace is open"});
    trace = first;
    start();
    add();
    stop();
    EXPECT_EQ(rows(), (Rows{{{"add_kernel", "none"}, 1}}));
}

TEST_F(CudaTrace, ACpuHasNothingToTrace) {
    qn_backend *cpu;
    expect_ok(qn_cpu_open(1, &cpu));
    qn_trace *none = (qn_trace *)memory;
    expect_refused(cpu->ops->trace_open(cpu, &none), QN_CODE_UNSUPPORTED, {"GPU"});
    EXPECT_EQ(none, nullptr);
    cpu->ops->close(cpu);
}

} // namespace
