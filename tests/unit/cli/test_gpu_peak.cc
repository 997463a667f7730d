// test_gpu_peak.cc: which card a driver's name means.
#include "cli/gpu_peak.h"

#include <gtest/gtest.h>

namespace {

double tflops(const char *name) { return qn_gpu_peak(name) / 1e12; }

TEST(GpuPeak, NamesAsDriversGiveThem) {
    EXPECT_DOUBLE_EQ(tflops("NVIDIA A100-SXM4-80GB"), 312);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA H100 80GB HBM3"), 989.5);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA H100 PCIe"), 756.5);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA H100 NVL"), 835.5);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA H200"), 989.5);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA GH200 480GB"), 989.5);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA B200"), 2250);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA GeForce RTX 4090"), 165.2);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA RTX 6000 Ada Generation"), 364);
}

TEST(GpuPeak, OneNameInAnother) {
    EXPECT_DOUBLE_EQ(tflops("NVIDIA L4"), 121);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA L40"), 181.05);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA L40S"), 362.05);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA A10"), 125);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA GB200"), 2500);
    EXPECT_DOUBLE_EQ(tflops("NVIDIA H200 NVL"), 835.5);
}

TEST(GpuPeak, UnknownCards) {
    for (const char *name :
         {"", "NVIDIA A10G", "NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 Laptop GPU",
          "NVIDIA GeForce RTX 5090 D", "Tesla V100-SXM2-16GB", "emulated"})
        EXPECT_EQ(tflops(name), 0) << name;
}

} // namespace
