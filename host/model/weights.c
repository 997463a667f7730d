/* weights.c: a model's parameters to and from safetensors. */
#include <stdlib.h>
#include <string.h>

#include "model/model_impl.h"
#include "quern/bf16.h"
#include "quern/files.h"
#include "quern/safetensors.h"

/* ---- saving -------------------------------------------------------------------------- */

/* The most precise copy of the parameters that the plan keeps. */
static qn_buffer_id best_copy(const qn_model *m) {
    return m->plan.buffers[QN_BUF_PARAMS].name ? QN_BUF_PARAMS : QN_BUF_WEIGHTS;
}

qn_status qn_model_save(const qn_model *m, const char *dir, uint64_t *checksum) {
    const qn_buffer_id id = best_copy(m);
    const qn_dtype dtype = m->plan.buffers[id].dtype;
    const size_t bytes = (size_t)m->params.n_elements * qn_dtype_size(dtype);
    char *values = malloc(bytes);
    qn_named_tensor *tensors = calloc((size_t)m->params.count, sizeof *tensors);
    char *path = qn_path("%s/model.safetensors", dir);
    qn_status status = QN_OK;
    if (!values || !tensors || !path) {
        status = qn_error(QN_CODE_MEMORY, "%s: no host memory for a copy of %zu bytes", dir, bytes);
        goto done;
    }
    QN_TRY_GOTO(status, done,
                m->ops->copy(m->stream, values, qn_buffer_at(m, id, 0), bytes, QN_COPY_TO_HOST));
    QN_TRY_GOTO(status, done, m->ops->stream_sync(m->stream));
    for (int i = 0; i < m->params.count; i++) {
        const qn_param *p = &m->params.items[i];
        char *data = values + (size_t)p->offset * qn_dtype_size(dtype);
        tensors[i] = (qn_named_tensor){p->name, qn_tensor_make(data, dtype, p->rank, p->shape)};
    }
    const char *const metadata[] = {"format", "pt", NULL};
    status = qn_safetensors_write(path, tensors, m->params.count, metadata, checksum);
done:
    free(path);
    free(tensors);
    free(values);
    return status;
}

/* ---- loading -------------------------------------------------------------------------- */

static float float_of_half(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u;
    uint32_t bits = (uint32_t)(h & 0x3ffu) << 13;
    if (exponent == 31) {
        bits |= 0x7f800000u;
    } else if (exponent) {
        bits |= (exponent + 112) << 23;
    } else { /* subnormal: exact as a product */
        float x = (float)(h & 0x3ffu) * 0x1p-24f;
        return sign ? -x : x;
    }
    bits |= sign;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Elements of a mapped tensor, which may lie at any address, as fp32. */
static bool convert(const qn_tensor *from, float *to, int64_t count) {
    const char *p = from->data;
    switch (from->dtype) {
    case QN_F32:
        memcpy(to, p, (size_t)count * sizeof *to);
        return true;
    case QN_BF16:
    case QN_F16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t word;
            memcpy(&word, p + 2 * i, sizeof word);
            if (from->dtype == QN_F16) {
                to[i] = float_of_half(word);
            } else {
                to[i] = qn_float_of_bf16(word);
            }
        }
        return true;
    default:
        return false;
    }
}

static const char *without_prefix(const char *name) {
    static const char prefix[] = "transformer.";
    return strncmp(name, prefix, sizeof prefix - 1) ? NULL : name + sizeof prefix - 1;
}

static qn_status find_tensor(const qn_safetensors *file, const char *path, const qn_param *p,
                             qn_tensor *out) {
    const char *bare = without_prefix(p->name);
    if (!qn_safetensors_find(file, p->name, out) &&
        !(bare && qn_safetensors_find(file, bare, out))) {
        return qn_error(QN_CODE_INVALID,
                        "%s: no tensor %s; the config names a model that has one, so is this its "
                        "weights file?",
                        path, p->name);
    }
    bool fits = out->rank == p->rank && out->shape[0] == p->shape[0] &&
                (p->rank == 1 || out->shape[1] == p->shape[1]);
    if (fits) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "%s: %s has rank %d and shape (%lld, %lld), expected rank %d "
                    "and (%lld, %lld) by the config",
                    path, p->name, out->rank, (long long)out->shape[0],
                    (long long)(out->rank > 1 ? out->shape[1] : 1), p->rank, (long long)p->shape[0],
                    (long long)p->shape[1]);
}

/* Rounds in place, in the lower half of the same memory. */
static void round_values(float *values, int64_t count) {
    char *to = (char *)values;
    for (int64_t i = 0; i < count; i++) {
        const uint16_t word = qn_bf16_of_float(values[i]);
        memcpy(to + 2 * i, &word, sizeof word);
    }
}

qn_status qn_set_param(qn_model *m, const qn_param *p, float *values) {
    const qn_tensor to = qn_param_view(m, best_copy(m), p->role, p->layer);
    if (to.dtype == QN_BF16) round_values(values, p->count);
    QN_TRY(m->ops->copy(m->stream, to.data, values, (size_t)p->count * qn_dtype_size(to.dtype),
                        QN_COPY_TO_DEVICE));
    return m->ops->stream_sync(m->stream);
}

static qn_status load_param(qn_model *m, const qn_safetensors *file, const char *path,
                            const qn_param *p) {
    qn_tensor tensor;
    QN_TRY(find_tensor(file, path, p, &tensor));
    const size_t bytes = (size_t)p->count * sizeof(float);
    float *values = malloc(bytes);
    if (!values) {
        return qn_error(QN_CODE_MEMORY, "%s: no host memory for %zu bytes", p->name, bytes);
    }
    qn_status status = QN_OK;
    if (!convert(&tensor, values, p->count)) {
        status = qn_error(QN_CODE_UNSUPPORTED, "%s: %s is %s, expected fp32, bf16 or fp16", path,
                          p->name, qn_dtype_name(tensor.dtype));
        goto done;
    }
    status = qn_set_param(m, p, values);
done:
    free(values);
    return status;
}

static qn_status load_file(qn_model *m, const char *path) {
    qn_safetensors *file;
    QN_TRY(qn_safetensors_open(path, &file));
    qn_status status = QN_OK;
    for (int i = 0; i < m->params.count && !status; i++) {
        status = load_param(m, file, path, &m->params.items[i]);
    }
    qn_safetensors_close(file);
    return status;
}

qn_status qn_model_load(qn_model *m, const char *dir) {
    char *single = qn_path("%s/model.safetensors", dir);
    char *index = qn_path("%s/model.safetensors.index.json", dir);
    qn_status status;
    if (!single || !index) {
        status = qn_error(QN_CODE_MEMORY, "%s: no memory for a path", dir);
    } else if (!qn_path_exists(single) && qn_path_exists(index)) {
        status = load_file(m, index);
    } else {
        status = load_file(m, single);
    }
    free(single);
    free(index);
    return status ? status : qn_model_refresh_weights(m);
}
