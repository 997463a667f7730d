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

const char *const qn_precision_names[] = {"auto", "fp32", "bf16", NULL};

static qn_dtype dtype_of(qn_precision precision, const qn_device_info *device) {
    const bool bf16 =
        precision == QN_PRECISION_AUTO ? !stores(device, QN_F32) : precision == QN_PRECISION_BF16;
    return bf16 ? QN_BF16 : QN_F32;
}

qn_status qn_plan_set_precision(qn_backend *backend, qn_precision precision,
                                qn_plan_options *options) {
    qn_device_info device;
    if ((unsigned)precision >= QN_N_PRECISIONS) {
        return qn_error(QN_CODE_USAGE, "precision %d: expected auto, fp32 or bf16", (int)precision);
    }
    QN_TRY(describe(backend, &device));
    const qn_dtype dtype = dtype_of(precision, &device);
    const bool stored = stores(&device, dtype);
    if (!stored && !stores(&device, QN_F32)) {
        return qn_error(QN_CODE_USAGE, "precision %s: %s stores %s; choose one of these",
                        qn_dtype_name(dtype), device.name, show_storage(&device).text);
    }
    options->compute = dtype;
    options->storage = stored ? dtype : QN_F32;
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
