// test_backend.cc: opening a device, its memory, its streams and its events.
#include "harness/backend.h"

// So that the sanitizer refuses what does not fit in memory as malloc does.
extern "C" const char *__asan_default_options() { return "allocator_may_return_null=1"; }

using namespace harness;

namespace {

TEST(BackendOpen, ByName) {
    for (const char *name : {"cpu", "auto"}) {
        qn_backend *backend = nullptr;
        expect_ok(qn_backend_open(name, 0, &backend));
        ASSERT_NE(backend, nullptr);
        backend->ops->close(backend);
    }
}

TEST(BackendOpen, UnknownNamesAndThreadCountsAreRefused) {
    qn_backend *backend = nullptr;
    expect_refused(qn_backend_open("tpu", 0, &backend), QN_CODE_USAGE, {"tpu", "cpu", "auto"});
    expect_refused(qn_backend_open("cuda", 0, &backend), QN_CODE_USAGE, {"no CUDA backend"});
    expect_refused(qn_backend_open("", 0, &backend), QN_CODE_USAGE, {"cpu"});
    expect_refused(qn_cpu_open(-1, &backend), QN_CODE_USAGE, {"-1 threads"});
    expect_refused(qn_cpu_open(1 << 20, &backend), QN_CODE_USAGE, {"1048576 threads"});
    EXPECT_EQ(backend, nullptr);
}

TEST(Backend, DescribesItsDevice) {
    on_each_backend([&](Device &d) {
        qn_device_info info;
        expect_ok(d.ops().device_info(d.backend, &info));
        EXPECT_GT(strlen(info.name), 0u);
        EXPECT_GT(strlen(info.arch), 0u);
        EXPECT_GT(info.memory_total, 0u);
        EXPECT_GT(info.memory_free, 0u);
        EXPECT_LE(info.memory_free, info.memory_total);
    });
    qn_backend *backend = nullptr;
    expect_ok(qn_cpu_open(3, &backend));
    qn_device_info info;
    expect_ok(backend->ops->device_info(backend, &info));
    EXPECT_EQ(info.n_threads, 3);
    backend->ops->close(backend);
}

TEST(Backend, MemoryIsAligned) {
    on_each_backend([&](Device &d) {
        for (size_t bytes : {size_t{1}, size_t{63}, size_t{4097}, size_t{3} << 20}) {
            void *memory = nullptr;
            expect_ok(d.ops().alloc(d.backend, bytes, &memory));
            EXPECT_EQ((uintptr_t)memory % 64, 0u) << bytes;
            expect_ok(d.ops().zero(d.stream, memory, bytes));
            d.ops().free(d.backend, memory);
        }
        void *memory = &d;
        expect_ok(d.ops().alloc(d.backend, 0, &memory));
        EXPECT_EQ(memory, nullptr);
        d.ops().free(d.backend, nullptr);
    });
}

TEST(Backend, MemoryThatDoesNotExistIsRefused) {
    on_each_backend([&](Device &d) {
        void *memory = &d;
        expect_refused(d.ops().alloc(d.backend, SIZE_MAX / 2, &memory), QN_CODE_MEMORY, {"bytes"});
        EXPECT_EQ(memory, nullptr);
    });
}

TEST(Backend, EventsMeasureTime) {
    on_each_backend([&](Device &d) {
        qn_event *start = nullptr, *end = nullptr;
        expect_ok(d.ops().event_create(d.backend, &start));
        expect_ok(d.ops().event_create(d.backend, &end));
        double seconds = -1;
        expect_refused(d.ops().event_elapsed(start, end, &seconds), QN_CODE_INVALID, {"start"});
        expect_ok(d.ops().event_record(start, d.stream));
        Workspace work(d, 1 << 20);
        expect_ok(d.ops().zero(d.stream, work.data(), 1 << 20));
        expect_ok(d.ops().event_record(end, d.stream));
        expect_ok(d.ops().stream_wait(d.stream, end));
        expect_ok(d.ops().event_elapsed(start, end, &seconds));
        EXPECT_GT(seconds, 0);
        EXPECT_LT(seconds, 60);
        d.ops().event_destroy(start);
        d.ops().event_destroy(end);
    });
}

} // namespace
