// library.cc: the emulated cuBLASLt as dlopen and dlsym find it.
#include "dlfcn.h"

#include <cstring>

#include "cublasLt.h"
#include "simt/cuda/emulated/gpu.h"

static char the_library;

void *dlopen(const char *name, int) {
    return simt::gpu().has_cublaslt && strstr(name, "libcublasLt.so") ? &the_library : nullptr;
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
    };
    for (const auto &function : functions)
        if (!strcmp(function.name, wanted)) return function.address;
    return nullptr;
}
