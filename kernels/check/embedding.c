#include "check/embedding.h"

#include "check/check.h"

qn_status qn_check_embedding_forward(const qn_embedding_args *args, qn_dtype storage) {
    const char *op = "embedding_forward";
    QN_TRY(qn_check_2d(op, "out", &args->out, storage, QN_ANY, QN_ANY));
    const int64_t n = args->out.shape[0], c = args->out.shape[1];
    QN_TRY(qn_check_2d(op, "wte", &args->wte, storage, QN_ANY, c));
    QN_TRY(qn_check_1d(op, "tokens", &args->tokens, QN_I32, n));
    if (!args->wpe.data) return QN_OK;
    QN_TRY(qn_check_2d(op, "wpe", &args->wpe, storage, QN_ANY, c));
    return qn_check_1d(op, "positions", &args->positions, QN_I32, n);
}

qn_status qn_check_embedding_backward(const qn_embedding_args *args, qn_dtype storage) {
    const char *op = "embedding_backward";
    QN_TRY(qn_check_2d(op, "dout", &args->dout, storage, QN_ANY, QN_ANY));
    const int64_t n = args->dout.shape[0], c = args->dout.shape[1];
    QN_TRY(qn_check_2d(op, "dwte", &args->dwte, QN_F32, QN_ANY, c));
    QN_TRY(qn_check_1d(op, "tokens", &args->tokens, QN_I32, n));
    if (!args->dwpe.data) return QN_OK;
    QN_TRY(qn_check_2d(op, "dwpe", &args->dwpe, QN_F32, QN_ANY, c));
    return qn_check_1d(op, "positions", &args->positions, QN_I32, n);
}
