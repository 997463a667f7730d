/* input.h: micro-batches on their way to the device. There are two, so that the host fills one
 * while the device still reads the other. */
#ifndef QUERN_TRAIN_INPUT_H
#define QUERN_TRAIN_INPUT_H

#include "quern/model.h"

enum { QN_INPUT_SLOTS = 2 };

typedef struct qn_input {
    qn_backend *backend;
    int64_t tokens; /* of a micro-batch */
    int32_t *memory[QN_INPUT_SLOTS];
    qn_event *read[QN_INPUT_SLOTS]; /* recorded when the device has been told to read it */
    int slot;                       /* the one to be filled next */
} qn_input;

/* Micro-batches of `tokens` tokens; the backend outlives the input. */
qn_status qn_input_open(qn_backend *backend, int64_t tokens, qn_input *out);
void qn_input_close(qn_input *input);

/* Page-locked memory for tokens, targets and document starts of a micro-batch, after waiting until
 * the device has read what was there. */
qn_status qn_input_acquire(qn_input *input, int32_t **tokens, int32_t **targets,
                           int32_t **doc_start);
/* The work that reads the acquired micro-batch is enqueued: the next call gives the other one. */
qn_status qn_input_release(qn_input *input, qn_stream *stream);

#endif
