#include "check/rope.h"

#include <math.h>

#include "check/check.h"

qn_status qn_check_rope(const qn_rope_args *args, qn_dtype storage) {
    QN_TRY(qn_check_3d("rope", "x", &args->x, storage, QN_ANY, QN_ANY, QN_ANY));
    const int64_t n = args->x.shape[0], d = args->x.shape[2];
    if (d % 2)
        return qn_error(QN_CODE_INVALID, "rope: x has heads of %lld elements, expected an even D",
                        (long long)d);
    QN_TRY(qn_check_1d("rope", "positions", &args->positions, QN_I32, n));
    return qn_check_2d("rope", "table", &args->table, QN_F32, QN_ANY, d);
}

qn_status qn_check_rope_table(const qn_tensor *table, double theta) {
    QN_TRY(qn_check_2d("rope_table", "table", table, QN_F32, QN_ANY, QN_ANY));
    if (table->shape[1] % 2)
        return qn_error(QN_CODE_INVALID, "rope_table: table has %lld columns, expected an even D",
                        (long long)table->shape[1]);
    if (!(theta > 0) || isinf(theta))
        return qn_error(QN_CODE_INVALID, "rope_table: theta is %g, expected more than 0", theta);
    return QN_OK;
}
