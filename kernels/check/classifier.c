#include "check/classifier.h"

#include "check/check.h"
#include "check/gemm.h"

qn_status qn_check_classifier(const qn_classifier_args *args, qn_dtype storage) {
    const char *op = "classifier";
    QN_TRY(qn_check_matrix(op, "x", &args->x, storage, QN_ANY, QN_ANY));
    const int64_t n = args->x.shape[0], c = args->x.shape[1];
    QN_TRY(qn_check_matrix(op, "weight", &args->weight, storage, QN_ANY, c));
    if (args->vocab_size < 1 || args->vocab_size > args->weight.shape[0])
        return qn_error(QN_CODE_INVALID,
                        "%s: vocab_size is %lld, expected 1 to the %lld rows of weight", op,
                        (long long)args->vocab_size, (long long)args->weight.shape[0]);
    QN_TRY(qn_check_1d(op, "targets", &args->targets, QN_I32, n));
    QN_TRY(qn_check_1d(op, "losses", &args->losses, QN_F32, n));
    if (args->dx.data) {
        QN_TRY(qn_check_matrix(op, "dx", &args->dx, storage, n, c));
        if (args->dweight.data)
            QN_TRY(
                qn_check_matrix(op, "dweight", &args->dweight, QN_F32, args->weight.shape[0], c));
    }
    return qn_check_compute(op, args->compute, storage);
}
