/* gemm_bf16_none.c: stands for gemm_bf16.c in a build without oneDNN: no bf16 products in
 * hardware, as on a CPU that has no instructions for them. */
#include <stddef.h>

#include "gemm_bf16.h"

qn_status qn_bf16_gemm_open(qn_bf16_gemm **out) {
    *out = NULL;
    return QN_OK;
}

void qn_bf16_gemm_close(qn_bf16_gemm *gemm) { (void)gemm; }

qn_status qn_bf16_gemm_run(qn_bf16_gemm *gemm, const qn_bf16_product *product, const uint16_t *a,
                           const uint16_t *b, float *c) {
    (void)gemm, (void)product, (void)a, (void)b, (void)c;
    return qn_error(QN_CODE_UNSUPPORTED, "gemm: this build has no bf16 products in hardware; "
                                         "build with -DQN_ONEDNN=ON");
}
