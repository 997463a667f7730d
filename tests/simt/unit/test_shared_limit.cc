// test_shared_limit.cc: a kernel has 48 KB of dynamic shared memory until it asks for more.
#include <gtest/gtest.h>

#include "cuda/prim/prim.h"
#include "simt/config.h"

namespace {

constexpr size_t kGranted = 48 << 10;

__global__ void modest(int *out) { *out = 1; }
__global__ void greedy(int *out) { *out = 1; }

class SharedLimit : public testing::Test {
  protected:
    SharedLimit() { simt::config().shared_limit = 99 << 10; }
    ~SharedLimit() override { simt::device_free(out); }

    simt::ScopedConfig restored;
    int *out = (int *)simt::device_allocate(sizeof(int));
};

TEST_F(SharedLimit, WithoutAsking) {
    QN_LAUNCH(modest, 1, 1, kGranted, 0, out);
    try {
        QN_LAUNCH(modest, 1, 1, kGranted + 16, 0, out);
        FAIL() << "was launched";
    } catch (const simt::Error &error) {
        EXPECT_NE(std::string(error.what()).find("QN_ALLOW_SHARED"), std::string::npos)
            << error.what();
    }
}

TEST_F(SharedLimit, Asked) {
    EXPECT_NE(QN_ALLOW_SHARED(greedy, (99 << 10) + 16), 0);
    EXPECT_THROW(QN_LAUNCH(greedy, 1, 1, 64 << 10, 0, out), simt::Error);
    EXPECT_EQ(QN_ALLOW_SHARED(greedy, 64 << 10), 0);
    QN_LAUNCH(greedy, 1, 1, 64 << 10, 0, out);
    EXPECT_THROW(QN_LAUNCH(greedy, 1, 1, (64 << 10) + 16, 0, out), simt::Error);
    EXPECT_THROW(QN_LAUNCH(modest, 1, 1, 64 << 10, 0, out), simt::Error);
}

} // namespace
