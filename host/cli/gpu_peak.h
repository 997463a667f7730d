/* gpu_peak.h: what the data sheets of GPUs promise. */
#ifndef QUERN_CLI_GPU_PEAK_H
#define QUERN_CLI_GPU_PEAK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Operations a second of dense bf16 products with fp32 sums, of the GPU that a driver calls by this
 * name; 0 if it is not known. */
double qn_gpu_peak(const char *device_name);

#ifdef __cplusplus
}
#endif

#endif
