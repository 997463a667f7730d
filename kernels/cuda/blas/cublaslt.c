/* cublaslt.c: finds cuBLASLt and opens it. */
#include "cublaslt.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

/* Where the system looks, then where the build found it. Once opened it stays in memory: kernels
 * of it may be part of a graph, threads of it may be left, and the driver knows its code. */
static void *find_library(void) {
    const int flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    void *library = dlopen(LIBRARY, flags);
    return library ? library : dlopen(QN_CUDA_LIBRARY_DIR "/" LIBRARY, flags);
}

static qn_status find_functions(qn_cublaslt *blas) {
#define FIND(name)                                                                                 \
    *(void **)&blas->name = dlsym(blas->library, "cublasLt" #name);                                \
    if (!blas->name)                                                                               \
        return qn_error(QN_CODE_UNSUPPORTED,                                                       \
                        LIBRARY " has no function cublasLt" #name "; reinstall cuBLAS");
    QN_CUBLASLT_FUNCTIONS(FIND)
#undef FIND
    return QN_OK;
}

static qn_status create_handle(qn_cublaslt *blas) {
    const cublasStatus_t error = blas->Create(&blas->handle);
    if (!error) return QN_OK;
    blas->handle = NULL;
    return qn_cublaslt_error(blas, error, "opening cuBLASLt");
}

qn_status qn_cublaslt_open(qn_cublaslt *blas) {
    *blas = (qn_cublaslt){.library = find_library()};
    if (!blas->library)
        return qn_error(QN_CODE_UNSUPPORTED,
                        LIBRARY " is not found (%s); install cuBLAS %d of the CUDA toolkit, or add "
                                "its folder to LD_LIBRARY_PATH",
                        dlerror(), CUBLAS_VER_MAJOR);
    qn_status status = find_functions(blas);
    if (!status) status = create_handle(blas);
    if (status) qn_cublaslt_close(blas);
    return status;
}

void qn_cublaslt_close(qn_cublaslt *blas) {
    if (blas->handle) blas->Destroy(blas->handle);
    if (blas->library) dlclose(blas->library);
    *blas = (qn_cublaslt){0};
}

qn_status qn_cublaslt_error(const qn_cublaslt *blas, cublasStatus_t error, const char *attempted) {
    const qn_code code =
        error == CUBLAS_STATUS_ALLOC_FAILED ? QN_CODE_MEMORY
        : error == CUBLAS_STATUS_NOT_SUPPORTED || error == CUBLAS_STATUS_ARCH_MISMATCH
            ? QN_CODE_UNSUPPORTED
            : QN_CODE_IO;
    return qn_error(code, "%s: %s; the cuBLASLt manual explains this status", attempted,
                    blas->GetStatusName(error));
}
