// test_values.cc: the emulated header has NVIDIA's values, so that what the backend's C code asks
// of the emulation is what it asks of cuBLASLt.
#include "values.h"

#include <gtest/gtest.h>

TEST(CublasLtValues, AreThoseOfNvidiasHeader) {
    const char *const names[] = {
#define NAME(name) #name,
        CUBLASLT_VALUES(NAME)};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        EXPECT_EQ(emulated_values[i], nvidia_values[i]) << names[i];
}
