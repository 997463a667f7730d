/* staging.h: tensors of a device on their way into a file. */
#ifndef QUERN_STAGING_H
#define QUERN_STAGING_H

#include "quern/ops.h"
#include "quern/safetensors.h"

/* A qn_fetch of device memory, whose context is a qn_stream; waits for the stream. */
static inline qn_status qn_fetch_from_device(void *stream, void *to, const void *from,
                                             size_t bytes) {
    qn_stream *s = (qn_stream *)stream;
    QN_TRY(s->backend->ops->copy(s, to, from, bytes, QN_COPY_TO_HOST));
    return s->backend->ops->stream_sync(s);
}

#endif
