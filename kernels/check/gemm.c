#include "check/gemm.h"

#include "check/check.h"

static bool is_bgrad(const qn_gemm_args *args) {
    return args->epilogue == QN_EPILOGUE_BGRAD_A || args->epilogue == QN_EPILOGUE_BGRAD_B;
}

qn_status qn_check_compute(const char *op, qn_dtype compute, qn_dtype storage) {
    if (compute != QN_F32 && compute != QN_BF16)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s: compute is dtype %d; this backend computes in fp32 and bf16", op,
                        (int)compute);
    if (storage == QN_BF16 && compute != QN_BF16)
        return qn_error(QN_CODE_INVALID, "%s: compute is fp32, expected bf16, as storage is", op);
    return QN_OK;
}

/* c is fp32 where it may be and says so, else in the storage dtype. */
static qn_dtype dtype_of_c(const qn_gemm_args *args, qn_dtype storage) {
    const bool may_be_wide = args->epilogue == QN_EPILOGUE_NONE || is_bgrad(args);
    return may_be_wide && args->c.dtype == QN_F32 ? QN_F32 : storage;
}

static qn_status check_bias(const qn_gemm_args *args, qn_dtype storage) {
    const int64_t m = args->c.shape[0], n = args->c.shape[1];
    switch (args->epilogue) {
    case QN_EPILOGUE_BIAS:
        return qn_check_1d("gemm", "bias", &args->bias, storage, n);
    case QN_EPILOGUE_GELU:
        return args->bias.data ? qn_check_1d("gemm", "bias", &args->bias, storage, n) : QN_OK;
    case QN_EPILOGUE_BGRAD_A:
        return qn_check_1d("gemm", "bias", &args->bias, QN_F32, m);
    case QN_EPILOGUE_BGRAD_B:
        return qn_check_1d("gemm", "bias", &args->bias, QN_F32, n);
    default:
        return QN_OK;
    }
}

static qn_status check_epilogue(const qn_gemm_args *args, qn_dtype storage) {
    QN_TRY(check_bias(args, storage));
    if (args->epilogue == QN_EPILOGUE_GELU || args->epilogue == QN_EPILOGUE_DGELU)
        QN_TRY(qn_check_matrix("gemm", "aux", &args->aux, storage, args->c.shape[0],
                               args->c.shape[1]));
    if (args->beta == 0) return QN_OK;
    if (args->epilogue != QN_EPILOGUE_NONE && !is_bgrad(args))
        return qn_error(QN_CODE_INVALID,
                        "gemm: beta is %g, expected 0 with an epilogue other than BGRAD",
                        (double)args->beta);
    if (args->c.dtype != QN_F32)
        return qn_error(QN_CODE_INVALID, "gemm: beta is %g, expected 0 with c in %s",
                        (double)args->beta, qn_show_dtype(args->c.dtype));
    return QN_OK;
}

qn_status qn_check_gemm(const qn_gemm_args *args, qn_dtype storage) {
    if ((unsigned)args->epilogue > QN_EPILOGUE_BGRAD_B)
        return qn_error(QN_CODE_INVALID, "gemm: epilogue %d is none of the six",
                        (int)args->epilogue);
    const qn_dtype c = dtype_of_c(args, storage);
    QN_TRY(qn_check_matrix("gemm", "c", &args->c, c, QN_ANY, QN_ANY));
    QN_TRY(qn_check_matrix("gemm", "a", &args->a, storage, QN_ANY, QN_ANY));
    const int64_t m = args->c.shape[0], n = args->c.shape[1];
    const int64_t k = args->a.shape[args->transpose_a ? 0 : 1];
    QN_TRY(qn_check_matrix("gemm", "a", &args->a, storage, args->transpose_a ? k : m,
                           args->transpose_a ? m : k));
    QN_TRY(qn_check_matrix("gemm", "b", &args->b, storage, args->transpose_b ? n : k,
                           args->transpose_b ? k : n));
    QN_TRY(qn_check_compute("gemm", args->compute, storage));
    return check_epilogue(args, storage);
}
