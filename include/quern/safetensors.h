/* safetensors.h: Hugging Face's tensor files (8-byte little-endian header length,
 * JSON header, data). */
#ifndef QUERN_SAFETENSORS_H
#define QUERN_SAFETENSORS_H

#include "quern/status.h"
#include "quern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_safetensors qn_safetensors;

/* Maps and validates a file: header length and JSON, dtypes, shapes, offsets that
 * tile the data without gap or overlap, sizes that agree with shapes; a rank above
 * QN_MAX_RANK or a dtype of no whole bytes is QN_CODE_UNSUPPORTED. `path` may also be a
 * model.safetensors.index.json: then all its shards are opened as one. Nobody may
 * truncate the files while they are open. */
qn_status qn_safetensors_open(const char *path, qn_safetensors **out);
void qn_safetensors_close(qn_safetensors *file);

int qn_safetensors_count(const qn_safetensors *file);
/* The tensors in alphabetical order; dtypes as the file spells them ("F32", "BOOL"). */
const char *qn_safetensors_name(const qn_safetensors *file, int i);
const char *qn_safetensors_dtype(const qn_safetensors *file, int i);
/* A read-only view into the mapped file, aligned to its elements only if the writer of
 * the file did so. False when there is no tensor of that name, or when it has a dtype
 * that qn_dtype lacks (the masks of old GPT-2 files): such are listed, no more. */
bool qn_safetensors_find(const qn_safetensors *file, const char *name, qn_tensor *out);
/* A value of the header's __metadata__, NULL when absent. */
const char *qn_safetensors_metadata(const qn_safetensors *file, const char *key);

typedef struct qn_named_tensor {
    const char *name;
    qn_tensor tensor; /* dense, host memory */
} qn_named_tensor;

/* Writes a file (not atomically: callers write into a folder that they publish whole),
 * data aligned to 64 bytes and each tensor to its elements, synced to disk. metadata:
 * pairs key, value, …, NULL; nullable. An error may leave a partial file.
 * *checksum (nullable) is the XXH3 of the file's bytes. */
qn_status qn_safetensors_write(const char *path, const qn_named_tensor *tensors, int count,
                               const char *const *metadata, uint64_t *checksum);

enum { QN_STAGING_BYTES = 16 << 20 }; /* host memory that a whole file passes through */

/* Brings `bytes` bytes of a tensor's data, those from `from` on, into host memory. */
typedef qn_status (*qn_fetch)(void *context, void *to, const void *from, size_t bytes);

/* As qn_safetensors_write, for tensors whose data lie in another memory, a device's say: they
 * pass through one buffer of at most QN_STAGING_BYTES, filled by `fetch`. */
qn_status qn_safetensors_write_fetched(const char *path, const qn_named_tensor *tensors, int count,
                                       const char *const *metadata, qn_fetch fetch, void *context,
                                       uint64_t *checksum);

#ifdef __cplusplus
}
#endif
#endif
