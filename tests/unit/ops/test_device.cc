// test_device.cc: what a device says of itself, its memory and its events.
#include "harness/backend.h"

// So that the sanitizer refuses what does not fit in memory as malloc does.
extern "C" const char *__asan_default_options() { return "allocator_may_return_null=1"; }

using namespace harness;

namespace {

TEST(Device, DescribesItsDevice) {
    on_each_backend([&](Device &d) {
        qn_device_info info;
        expect_ok(d.ops().device_info(d.backend, &info));
        EXPECT_GT(strlen(info.name), 0u);
        EXPECT_GT(strlen(info.arch), 0u);
        EXPECT_GT(info.memory_total, 0u);
        EXPECT_GT(info.memory_free, 0u);
        EXPECT_LE(info.memory_free, info.memory_total);
    });
}

TEST(Device, StoresDtypesThatExistAndNoneTwice) {
    on_each_dtype([&](Device &d) {
        ASSERT_GE(d.info.n_storage, 1);
        ASSERT_LE(d.info.n_storage, QN_MAX_STORAGE);
        for (int i = 0; i < d.info.n_storage; i++) {
            EXPECT_TRUE(d.info.storage[i] == QN_F32 || d.info.storage[i] == QN_BF16) << i;
            for (int j = 0; j < i; j++) EXPECT_NE(d.info.storage[i], d.info.storage[j]);
        }
    });
}

TEST(Device, MemoryIsAligned) {
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

TEST(Device, MemoryThatDoesNotExistIsRefused) {
    on_each_backend([&](Device &d) {
        void *memory = &d;
        expect_refused(d.ops().alloc(d.backend, SIZE_MAX / 2, &memory), QN_CODE_MEMORY, {"bytes"});
        EXPECT_EQ(memory, nullptr);
    });
}

TEST(Device, MemoryOfTheHostCanBeWritten) {
    on_each_backend([&](Device &d) {
        void *memory = nullptr;
        expect_ok(d.ops().host_alloc(d.backend, 4097, &memory));
        ASSERT_NE(memory, nullptr);
        memset(memory, 1, 4097);
        d.ops().host_free(d.backend, memory);
        memory = &d;
        expect_ok(d.ops().host_alloc(d.backend, 0, &memory));
        EXPECT_EQ(memory, nullptr);
        d.ops().host_free(d.backend, nullptr);
        expect_refused(d.ops().host_alloc(d.backend, SIZE_MAX / 2, &memory), QN_CODE_MEMORY,
                       {"bytes"});
    });
}

TEST(Device, GraphsRepeatTheirCalls) {
    on_each_backend([&](Device &d) {
        qn_graph *graph = nullptr;
        if (!d.info.graphs) {
            expect_refused(d.ops().capture_begin(d.stream), QN_CODE_UNSUPPORTED, {"graphs"});
            expect_refused(d.ops().capture_end(d.stream, &graph), QN_CODE_UNSUPPORTED, {"graphs"});
            return;
        }
        DeviceTensor<float> from(d, {4}, {1, 2, 3, 4}), to(d, {4}, {0, 0, 0, 0});
        expect_ok(d.ops().capture_begin(d.stream));
        expect_ok(d.ops().cast(d.stream, to, from));
        expect_ok(d.ops().capture_end(d.stream, &graph));
        ASSERT_NE(graph, nullptr);
        EXPECT_EQ(to.read(), (std::vector<float>{0, 0, 0, 0})) << "it ran while it was recorded";
        for (float x : {5.0f, 6.0f}) {
            from.write({x, x, x, x});
            expect_ok(d.ops().graph_launch(d.stream, graph));
            EXPECT_EQ(to.read(), (std::vector<float>{x, x, x, x}));
        }
        d.ops().graph_destroy(graph);
        d.ops().graph_destroy(nullptr);
    });
}

TEST(Device, WaitingForACapturedStreamIsAnError) {
    on_each_backend([&](Device &d) {
        if (!d.info.graphs) return;
        qn_graph *graph = nullptr;
        expect_ok(d.ops().capture_begin(d.stream));
        qn_status status = d.ops().stream_sync(d.stream);
        EXPECT_NE(status, QN_OK);
        qn_status_free(status);
        status = d.ops().capture_end(d.stream, &graph);
        EXPECT_NE(status, QN_OK);
        EXPECT_EQ(graph, nullptr);
        qn_status_free(status);
        expect_ok(d.ops().stream_sync(d.stream));
    });
}

TEST(Device, EventsMeasureTime) {
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
