#include "train/input.h"

qn_status qn_input_open(qn_backend *backend, int64_t tokens, qn_input *out) {
    *out = (qn_input){.backend = backend, .tokens = tokens};
    for (int i = 0; i < QN_INPUT_SLOTS; i++) {
        QN_TRY(backend->ops->host_alloc(backend, 3 * (size_t)tokens * sizeof *out->memory[i],
                                        (void **)&out->memory[i]));
        QN_TRY(backend->ops->event_create(backend, &out->read[i]));
    }
    return QN_OK;
}

void qn_input_close(qn_input *input) {
    for (int i = 0; i < QN_INPUT_SLOTS && input->backend; i++) {
        if (input->read[i]) input->backend->ops->event_destroy(input->read[i]);
        if (input->memory[i]) input->backend->ops->host_free(input->backend, input->memory[i]);
    }
    *input = (qn_input){0};
}

qn_status qn_input_acquire(qn_input *input, int32_t **tokens, int32_t **targets,
                           int32_t **doc_start) {
    QN_TRY(input->backend->ops->event_sync(input->read[input->slot]));
    *tokens = input->memory[input->slot];
    *targets = *tokens + input->tokens;
    *doc_start = *targets + input->tokens;
    return QN_OK;
}

qn_status qn_input_release(qn_input *input, qn_stream *stream) {
    QN_TRY(input->backend->ops->event_record(input->read[input->slot], stream));
    input->slot = (input->slot + 1) % QN_INPUT_SLOTS;
    return QN_OK;
}
