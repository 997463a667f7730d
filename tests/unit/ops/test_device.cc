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
