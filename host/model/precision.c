/* precision.c: from what the user asks for and what the backend stores to dtypes. */
#include "model/precision.h"

#include <stdio.h>

static bool stores(const qn_device_info *device, qn_dtype dtype) {
    for (int i = 0; i < device->n_storage; i++) {
        if (device->storage[i] == dtype) return true;
    }
    return false;
}

/* "bf16, fp32" */
typedef struct dtype_list {
    char text[QN_MAX_STORAGE * 8];
} dtype_list;

static dtype_list show_storage(const qn_device_info *device) {
    dtype_list list = {""};
    size_t at = 0;
    for (int i = 0; i < device->n_storage; i++) {
        at += (size_t)snprintf(list.text + at, sizeof list.text - at, "%s%s", i ? ", " : "",
                               qn_dtype_name(device->storage[i]));
    }
    return list;
}

static qn_status describe(qn_backend *backend, qn_device_info *out) {
    QN_TRY(backend->ops->device_info(backend, out));
    if (out->n_storage >= 1 && out->n_storage <= QN_MAX_STORAGE) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s: it declares %d storage dtypes, expected 1 to %d",
                    out->name, out->n_storage, QN_MAX_STORAGE);
}

static qn_status check_dtype(const char *what, qn_dtype dtype) {
    if (dtype == QN_F32 || dtype == QN_BF16) return QN_OK;
    return qn_error(QN_CODE_USAGE, "%s dtype %s: expected fp32 or bf16", what,
                    (unsigned)dtype <= QN_U16 ? qn_dtype_name(dtype) : "unknown");
}

qn_status qn_plan_set_precision(qn_backend *backend, qn_dtype precision, qn_plan_options *options) {
    qn_device_info device;
    QN_TRY(check_dtype("precision", precision));
    QN_TRY(describe(backend, &device));
    const bool stored = stores(&device, precision);
    if (!stored && !stores(&device, QN_F32)) {
        return qn_error(QN_CODE_USAGE, "precision %s: %s stores %s; choose one of these",
                        qn_dtype_name(precision), device.name, show_storage(&device).text);
    }
    options->compute = precision;
    options->storage = stored ? precision : QN_F32;
    return QN_OK;
}

qn_status qn_default_precision(qn_backend *backend, qn_dtype *out) {
    qn_device_info device;
    QN_TRY(describe(backend, &device));
    *out = stores(&device, QN_F32) ? QN_F32 : device.storage[0];
    return QN_OK;
}

qn_status qn_check_dtypes(qn_backend *backend, const qn_plan_options *options) {
    qn_device_info device;
    QN_TRY(check_dtype("compute", options->compute));
    QN_TRY(check_dtype("storage", options->storage));
    if (options->storage == QN_BF16 && options->compute != QN_BF16) {
        return qn_error(QN_CODE_USAGE, "compute dtype %s with bf16 storage: expected bf16",
                        qn_dtype_name(options->compute));
    }
    QN_TRY(describe(backend, &device));
    if (stores(&device, options->storage)) return QN_OK;
    return qn_error(QN_CODE_USAGE, "storage dtype %s: %s stores %s; choose one of these",
                    qn_dtype_name(options->storage), device.name, show_storage(&device).text);
}
