// library.cc: the emulated cuBLASLt and CUPTI as dlopen and dlsym find it.
#include "dlfcn.h"

#include <cstring>
#include <string>

#include "cublasLt.h"
#include "simt/cuda/emulated/activity.h"
#include "simt/cuda/emulated/gpu.h"

static char cublaslt_library, cupti_library;

void *dlopen(const char *name, int) {
    const simt::Gpu &gpu = simt::gpu();
    if (gpu.has_cublaslt && strstr(name, "libcublasLt.so")) return &cublaslt_library;
    if (!gpu.cupti_folder || name != gpu.cupti_folder + std::string("libcupti.so.13"))
        return nullptr;
    simt::load_cupti();
    return &cupti_library;
}

int dlclose(void *) { return 0; }

char *dlerror() {
    static char text[] = "no such file";
    return text;
}

#define FUNCTION(name)                                                                             \
    { #name, (void *)name }

void *dlsym(void *, const char *wanted) {
    static const struct {
        const char *name;
        void *address;
    } functions[] = {
        FUNCTION(cublasLtCreate),
        FUNCTION(cublasLtDestroy),
        FUNCTION(cublasLtGetStatusName),
        FUNCTION(cublasLtMatmulDescCreate),
        FUNCTION(cublasLtMatmulDescSetAttribute),
        FUNCTION(cublasLtMatmulDescDestroy),
        FUNCTION(cublasLtMatrixLayoutCreate),
        FUNCTION(cublasLtMatrixLayoutSetAttribute),
        FUNCTION(cublasLtMatrixLayoutDestroy),
        FUNCTION(cublasLtMatmulPreferenceCreate),
        FUNCTION(cublasLtMatmulPreferenceSetAttribute),
        FUNCTION(cublasLtMatmulPreferenceDestroy),
        FUNCTION(cublasLtMatmulAlgoGetHeuristic),
        FUNCTION(cublasLtMatmul),
        FUNCTION(cuptiGetVersion),
        FUNCTION(cuptiGetResultString),
        FUNCTION(cuptiGetTimestamp),
        FUNCTION(cuptiActivityRegisterCallbacks),
        FUNCTION(cuptiActivityEnable),
        FUNCTION(cuptiActivityDisable),
        FUNCTION(cuptiActivityFlushAll),
        FUNCTION(cuptiActivityGetNextRecord),
        FUNCTION(cuptiActivityGetNumDroppedRecords),
        FUNCTION(cuptiActivityPushExternalCorrelationId),
        FUNCTION(cuptiActivityPopExternalCorrelationId),
    };
    for (const auto &function : functions)
        if (!strcmp(function.name, wanted)) return function.address;
    return nullptr;
}
