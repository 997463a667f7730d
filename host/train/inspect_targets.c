/* inspect_targets.c: which checkpoints of a run there are to look at. */
#include <stdlib.h>

#include "quern/checkpoint.h"
#include "quern/inspect.h"
#include "quern/snapshot.h"

typedef struct seeker {
    const char *run;
    void (*note)(void *context, const char *message);
    void *context;
    qn_inspect_targets *out;
} seeker;

/* Takes over the folder. */
static qn_status add(qn_inspect_targets *targets, char *folder, int64_t step, int64_t tokens) {
    const size_t bytes = (size_t)(targets->count + 1) * sizeof *targets->items;
    qn_inspect_target *grown = realloc(targets->items, bytes);
    if (!grown) {
        free(folder);
        return qn_error(QN_CODE_MEMORY, "no memory for a list of checkpoints");
    }
    targets->items = grown;
    targets->items[targets->count++] = (qn_inspect_target){folder, step, tokens};
    return QN_OK;
}

/* A damaged one is a note. */
static qn_status pass_over(const seeker *s, qn_status damage) {
    if (s->note) s->note(s->context, qn_message(damage));
    qn_status_free(damage);
    return QN_OK;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static qn_status add_snapshot(seeker *s, int64_t step) {
    char *folder;
    int64_t tokens;
    qn_status status = qn_snapshot_find(s->run, step, &folder, &tokens);
    if (!status) return add(s->out, folder, step, tokens);
    return qn_status_code(status) == QN_CODE_INVALID ? pass_over(s, status) : status;
}

/* Those of `step`, or, where it is −1, all. */
static qn_status add_snapshots(seeker *s, int64_t step) {
    int64_t *steps, count;
    QN_TRY(qn_snapshot_steps(s->run, &steps, &count));
    qn_status status = QN_OK;
    for (int64_t i = 0; i < count && !status; i++) {
        if (step < 0 || steps[i] == step) status = add_snapshot(s, steps[i]);
    }
    free(steps);
    return status;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* The one of `step`, or the newest, unless a snapshot is as new. */
static qn_status add_checkpoint(seeker *s, int64_t step) {
    const qn_inspect_targets *found = s->out;
    char *folder;
    qn_train_state state;
    if (step >= 0 && found->count) return QN_OK;
    qn_status status = qn_checkpoint_find(s->run, step, s->note, s->context, &folder);
    if (qn_status_code(status) == QN_CODE_INVALID && found->count) return pass_over(s, status);
    if (status || !folder) return status;
    status = qn_checkpoint_state(folder, &state);
    if (!status && (!found->count || state.step > found->items[found->count - 1].step)) {
        return add(s->out, folder, state.step, state.tokens);
    }
    free(folder);
    return status;
}

qn_status qn_inspect_targets_find(const char *run, int64_t step,
                                  void (*note)(void *context, const char *message), void *context,
                                  qn_inspect_targets *out) {
    seeker s = {run, note, context, out};
    *out = (qn_inspect_targets){0};
    qn_status status = add_snapshots(&s, step);
    if (!status) status = add_checkpoint(&s, step);
    if (!status && !out->count) {
        status = qn_error(QN_CODE_USAGE,
                          "--run %s: it has no checkpoint yet; `quern train --run %s --resume` "
                          "goes on until one is saved",
                          run, run);
    }
    if (status) qn_inspect_targets_free(out);
    return status;
}

void qn_inspect_targets_free(qn_inspect_targets *targets) {
    for (int64_t i = 0; i < targets->count; i++) free(targets->items[i].folder);
    free(targets->items);
    *targets = (qn_inspect_targets){0};
}
