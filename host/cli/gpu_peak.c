#include "cli/gpu_peak.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* TFLOP/s. Data sheets that count zeros skipped by 2:4 sparsity say twice as much. Of names with
 * a common beginning the longer one comes first; 0 hides a card that only shares its name. */
static const struct {
    const char *words;
    double tflops;
} gpus[] = {
    /* NVIDIA A100 Tensor Core GPU Datasheet; NVIDIA A10 Tensor Core GPU Datasheet */
    {"A100", 312},
    {"A10", 125},
    /* NVIDIA H100 Tensor Core GPU Datasheet: 1,513, 1,671 and 1,979 with sparsity */
    {"H100 PCIe", 756.5},
    {"H100 NVL", 835.5},
    {"H100", 989.5},
    /* NVIDIA H200 Tensor Core GPU Datasheet: 1,671 and 1,979 with sparsity, and 1,979
     * for GH200 */
    {"H200 NVL", 835.5},
    {"H200", 989.5},
    {"GH200", 989.5},
    /* NVIDIA HGX B200 and GB200 NVL72 Technical Specifications: 4,500 and 5,000 with sparsity */
    {"B200", 2250},
    {"GB200", 2500},
    /* NVIDIA L40 and L40S Datasheets; NVIDIA L4 Tensor Core GPU Datasheet: 242 with sparsity */
    {"L40S", 362.05},
    {"L40", 181.05},
    {"L4", 121},
    /* Whitepapers, "Peak BF16 Tensor TFLOPS with FP32 Accumulate": NVIDIA Ampere GA102 GPU
     * Architecture, NVIDIA Ada GPU Architecture, NVIDIA RTX Blackwell GPU Architecture */
    {"RTX 3090 Ti", 0},
    {"RTX 3090", 71},
    {"RTX 4090 D", 0},
    {"RTX 4090 Laptop", 0},
    {"RTX 4090", 165.2},
    {"RTX 5090 D", 0},
    {"RTX 5090 Laptop", 0},
    {"RTX 5090", 209.5},
    /* Found in no data sheet: 142 SMs of 1,024 operations a clock, as L40S has, at 2.505 GHz */
    {"RTX 6000 Ada", 364},
};

/* Neither L4 in L40S, nor B200 in GB200. */
static bool has_words(const char *name, const char *words) {
    const char *begin = strstr(name, words);
    if (!begin) return false;
    const char *end = begin + strlen(words);
    return (begin == name || !isalnum((unsigned char)begin[-1])) && !isalnum((unsigned char)*end);
}

double qn_gpu_peak(const char *device_name) {
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (has_words(device_name, gpus[i].words)) return 1e12 * gpus[i].tflops;
    return 0;
}
