/* cublaslt.h: NVIDIA's library of matrix products, found when the backend opens: the program
 * itself links nothing of it, so that it starts, and runs on the CPU, on machines without. */
#ifndef QUERN_CUDA_CUBLASLT_H
#define QUERN_CUDA_CUBLASLT_H

#include <cublasLt.h>

#include "quern/status.h"

/* Each function that is used, by the name it has in the library. */
#define QN_CUBLASLT_FUNCTIONS(F)                                                                   \
    F(Create)                                                                                      \
    F(Destroy)                                                                                     \
    F(MatmulDescCreate)                                                                            \
    F(MatmulDescSetAttribute)                                                                      \
    F(MatmulDescDestroy)                                                                           \
    F(MatrixLayoutCreate)                                                                          \
    F(MatrixLayoutSetAttribute)                                                                    \
    F(MatrixLayoutDestroy)                                                                         \
    F(MatmulPreferenceCreate)                                                                      \
    F(MatmulPreferenceSetAttribute)                                                                \
    F(MatmulPreferenceDestroy)                                                                     \
    F(MatmulAlgoGetHeuristic)                                                                      \
    F(Matmul)                                                                                      \
    F(GetStatusName)

typedef struct qn_cublaslt {
    void *library;
    cublasLtHandle_t handle;
#define QN_CUBLASLT_MEMBER(name) __typeof__(&cublasLt##name) name;
    QN_CUBLASLT_FUNCTIONS(QN_CUBLASLT_MEMBER)
#undef QN_CUBLASLT_MEMBER
} qn_cublaslt;

/* QN_CODE_UNSUPPORTED when the library is not there. */
qn_status qn_cublaslt_open(qn_cublaslt *blas);
void qn_cublaslt_close(qn_cublaslt *blas);

/* "<what was attempted>: CUBLAS_STATUS_X". */
qn_status qn_cublaslt_error(const qn_cublaslt *blas, cublasStatus_t error, const char *attempted)
    __attribute__((returns_nonnull));

/* Returns from the calling function, which has the library as `blas`, when a call of it fails. */
#define QN_BLAS_TRY(call, attempted)                                                               \
    do {                                                                                           \
        const cublasStatus_t error_ = (call);                                                      \
        if (error_) return qn_cublaslt_error(blas, error_, attempted);                             \
    } while (0)

#endif
