/* safetensors_format.h: what reader and writer of safetensors agree on. */
#ifndef QUERN_IO_SAFETENSORS_FORMAT_H
#define QUERN_IO_SAFETENSORS_FORMAT_H

#include <string.h>

#include "quern/tensor.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

enum {
    ST_PREFIX = 8,                     /* bytes of the header's length */
    ST_MAX_HEADER = 100 * 1000 * 1000, /* as the reference implementation has it */
    ST_ALIGNMENT = 64,                 /* where the data of files we write begins */
};

#define ST_METADATA "__metadata__"

typedef struct st_dtype {
    char name[12];
    bool readable; /* quern has it, as `dtype` */
    qn_dtype dtype;
    int size; /* bytes of an element */
} st_dtype;

static inline const st_dtype *st_dtype_find(const char *name) {
    static const st_dtype table[] = {
        {"F32", true, QN_F32, 4}, {"BF16", true, QN_BF16, 2}, {"F16", true, QN_F16, 2},
        {"F64", true, QN_F64, 8}, {"I32", true, QN_I32, 4},   {"I64", true, QN_I64, 8},
        {"U16", true, QN_U16, 2}, {"BOOL", false, 0, 1},      {"U8", false, 0, 1},
        {"I8", false, 0, 1},      {"F8_E5M2", false, 0, 1},   {"F8_E4M3", false, 0, 1},
        {"F8_E8M0", false, 0, 1}, {"I16", false, 0, 2},       {"U32", false, 0, 4},
        {"U64", false, 0, 8},     {"C64", false, 0, 8},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) == 0) return &table[i];
    }
    return NULL;
}

static inline const char *st_dtype_name(qn_dtype dtype) {
    static const char *const names[] = {"F32", "BF16", "F16", "F64", "I32", "I64", "U16"};
    return names[dtype];
}

#endif
