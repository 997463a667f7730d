/* ids.h: a growing array of token ids. */
#ifndef QUERN_DATA_IDS_H
#define QUERN_DATA_IDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "quern/status.h"

typedef struct qn_ids {
    int32_t *data; /* malloc'ed */
    size_t count, capacity;
} qn_ids;

/* Makes room for n more. */
static inline qn_status qn_ids_reserve(qn_ids *ids, size_t n) {
    if (n <= ids->capacity - ids->count) return QN_OK;
    size_t capacity = ids->count + n;
    if (capacity < n || capacity > SIZE_MAX / (2 * sizeof *ids->data))
        return qn_error(QN_CODE_MEMORY, "cannot hold %zu more token ids", n);
    capacity += capacity / 2;
    int32_t *data = (int32_t *)realloc(ids->data, capacity * sizeof *data);
    if (!data) return qn_error(QN_CODE_MEMORY, "out of memory for %zu token ids", capacity);
    ids->data = data;
    ids->capacity = capacity;
    return QN_OK;
}

static inline qn_status qn_ids_push(qn_ids *ids, int32_t id) {
    QN_TRY(qn_ids_reserve(ids, 1));
    ids->data[ids->count++] = id;
    return QN_OK;
}

static inline void qn_ids_free(qn_ids *ids) { free(ids->data); }

#endif
