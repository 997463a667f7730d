#include "check/activations.h"

#include "check/check.h"

/* gate_up (N,2F), out (N,F). */
static qn_status check_gates(const char *op, const qn_tensor *gate_up, const char *name,
                             const qn_tensor *out, qn_dtype storage) {
    QN_TRY(qn_check_2d(op, "gate_up", gate_up, storage, QN_ANY, QN_ANY));
    if (gate_up->shape[1] % 2)
        return qn_error(QN_CODE_INVALID, "%s: gate_up has %lld columns, expected an even 2F", op,
                        (long long)gate_up->shape[1]);
    return qn_check_2d(op, name, out, storage, gate_up->shape[0], gate_up->shape[1] / 2);
}

qn_status qn_check_swiglu_forward(const qn_swiglu_args *args, qn_dtype storage) {
    return check_gates("swiglu_forward", &args->gate_up, "out", &args->out, storage);
}

qn_status qn_check_swiglu_backward(const qn_swiglu_args *args, qn_dtype storage) {
    QN_TRY(check_gates("swiglu_backward", &args->gate_up, "dout", &args->dout, storage));
    return qn_check_2d("swiglu_backward", "dgate_up", &args->dgate_up, storage,
                       args->gate_up.shape[0], args->gate_up.shape[1]);
}

qn_status qn_check_gelu(const qn_tensor *out, const qn_tensor *x, qn_dtype storage) {
    QN_TRY(qn_check_2d("gelu", "x", x, storage, QN_ANY, QN_ANY));
    return qn_check_2d("gelu", "out", out, storage, x->shape[0], x->shape[1]);
}
