/* code_is_here.h: does this build run on the GPU that was found? As C sees it. */
#ifndef QUERN_CUDA_CODE_IS_HERE_H
#define QUERN_CUDA_CODE_IS_HERE_H

#ifdef __cplusplus
extern "C" {
#endif

/* 0 when this build holds code that the current device runs, else a cudaError_t. Enqueues nothing.
 */
int qn_cuda_code_is_here(void);

#ifdef __cplusplus
}
#endif
#endif
