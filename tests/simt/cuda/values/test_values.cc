// test_values.cc: the emulated headers have NVIDIA's values, so that what the backend's C code asks
// of the emulation is what it asks of cuBLASLt and CUPTI.
#include "values.h"

#include <gtest/gtest.h>

TEST(CudaValues, AreThoseOfNvidiasHeaders) {
    const char *const names[] = {
#define NAME(name) #name,
        ALL_VALUES(NAME)};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        EXPECT_EQ(emulated_values[i], nvidia_values[i]) << names[i];
}
