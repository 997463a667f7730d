#include "planted/task.h"

#include <stdlib.h>
#include <string.h>

static qn_status no_memory(void) { return qn_error(QN_CODE_MEMORY, "no memory for examples"); }

static void draw_examples(const qn_task *task, uint64_t seed, qn_task_use use, int64_t count,
                          int32_t *tokens) {
    qn_draws draws = {.seed = seed, .stream = (uint32_t)use};
    for (int64_t i = 0; i < count; i++)
        task->draw(task, &draws, tokens + i * task->examples.length);
}

/* ---- a data folder ------------------------------------------------------------------------- */

qn_status qn_task_write(const qn_task *task, const char *dir, uint64_t seed, int64_t train,
                        int64_t held_out) {
    const int64_t length = task->examples.length;
    int32_t *tokens = malloc((size_t)((train + held_out) * length) * sizeof *tokens);
    if (!tokens) return no_memory();
    int32_t *rest = tokens + train * length;
    draw_examples(task, seed, QN_TASK_TRAIN, train, tokens);
    draw_examples(task, seed, QN_TASK_HELD_OUT, held_out, rest);
    qn_status status =
        qn_examples_write(dir, &task->examples, task->vocab_size, (qn_example_split){tokens, train},
                          (qn_example_split){rest, held_out});
    free(tokens);
    return status;
}

/* ---- batches ------------------------------------------------------------------------------- */

/* The sequence of an example, as the loader makes it. */
static void fill(const qn_task *task, const int32_t *example, int32_t *tokens, int32_t *targets) {
    const int64_t T = task->examples.length - 1;
    memcpy(tokens, example, (size_t)T * sizeof *tokens);
    for (int64_t i = 0; i < T; i++) targets[i] = -1;
    if (!task->examples.targets) memcpy(targets, example + 1, (size_t)T * sizeof *targets);
    for (int64_t i = 0; task->examples.targets && i < task->examples.n_targets; i++) {
        const int64_t at = task->examples.targets[i];
        targets[at - 1] = example[at];
    }
}

qn_status qn_task_batches_make(const qn_task *task, uint64_t seed, int64_t batch_size,
                               int64_t count, qn_task_batches *out) {
    const int64_t length = task->examples.length, T = length - 1, n = batch_size * count;
    int32_t *examples = malloc((size_t)(n * length) * sizeof *examples);
    *out = (qn_task_batches){.tokens = malloc((size_t)(n * T) * sizeof *out->tokens),
                             .targets = malloc((size_t)(n * T) * sizeof *out->targets),
                             .items = malloc((size_t)count * sizeof *out->items)};
    if (!examples || !out->tokens || !out->targets || !out->items) {
        free(examples);
        qn_task_batches_free(out);
        return no_memory();
    }
    draw_examples(task, seed, QN_TASK_INSPECT, n, examples);
    for (int64_t i = 0; i < n; i++)
        fill(task, examples + i * length, out->tokens + i * T, out->targets + i * T);
    for (int64_t i = 0; i < count; i++)
        out->items[i] =
            (qn_batch){out->tokens + i * batch_size * T, out->targets + i * batch_size * T, NULL};
    out->text = (qn_probe_text){out->items, count};
    free(examples);
    return QN_OK;
}

void qn_task_batches_free(qn_task_batches *b) {
    free(b->tokens);
    free(b->targets);
    free(b->items);
    *b = (qn_task_batches){0};
}
