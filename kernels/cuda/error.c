/* error.c: errors of the CUDA runtime as statuses. */
#include <stdarg.h>
#include <stdio.h>

#include "backend.h"

typedef struct remedy {
    cudaError_t error;
    qn_code code;
    const char *text;
} remedy;

static const char lost_context[] =
    "the device lost this program's data: start it again, and run it under compute-sanitizer "
    "to see which kernel did it";

static remedy remedy_of(cudaError_t error) {
    static const remedy remedies[] = {
        {cudaErrorMemoryAllocation, QN_CODE_MEMORY,
         "use a smaller batch or shorter sequences, or end other programs on this GPU"},
        {cudaErrorInvalidDeviceFunction, QN_CODE_UNSUPPORTED,
         "this build holds no code for this GPU: build it with CMAKE_CUDA_ARCHITECTURES set for "
         "this GPU"},
        {cudaErrorNoKernelImageForDevice, QN_CODE_UNSUPPORTED,
         "this build holds no code for this GPU: build it with CMAKE_CUDA_ARCHITECTURES set for "
         "this GPU"},
        {cudaErrorInsufficientDriver, QN_CODE_UNSUPPORTED, "update the NVIDIA driver"},
        {cudaErrorNoDevice, QN_CODE_UNSUPPORTED,
         "check nvidia-smi and the environment variable CUDA_VISIBLE_DEVICES"},
        {cudaErrorDevicesUnavailable, QN_CODE_IO,
         "another program has the GPU for itself: wait, or choose another one with "
         "CUDA_VISIBLE_DEVICES"},
        {cudaErrorIllegalAddress, QN_CODE_IO, lost_context},
        {cudaErrorMisalignedAddress, QN_CODE_IO, lost_context},
        {cudaErrorIllegalInstruction, QN_CODE_IO, lost_context},
        {cudaErrorLaunchFailure, QN_CODE_IO, lost_context},
        {cudaErrorECCUncorrectable, QN_CODE_IO,
         "the GPU's memory is damaged: start again, and replace the card if it comes back"},
    };
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (remedies[i].error == error) return remedies[i];
    return (remedy){error, QN_CODE_IO, "the CUDA runtime's manual explains this error"};
}

qn_status qn_cuda_error(cudaError_t error, const char *what, ...) {
    char attempted[256];
    va_list values;
    va_start(values, what);
    vsnprintf(attempted, sizeof attempted, what, values);
    va_end(values);
    cudaGetLastError();
    const remedy r = remedy_of(error);
    return qn_error(r.code, "%s: %s (%s); %s", attempted, cudaGetErrorName(error),
                    cudaGetErrorString(error), r.text);
}
