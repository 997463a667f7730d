/* inspect_all.c: an inspection of checkpoint after checkpoint, into files. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"
#include "quern/inspect.h"
#include "train/inspect_draw.h"
#include "train/lens_log.h"

/* A file that is made in memory; closed, it has nothing. */
typedef struct page {
    char *text;
    size_t length;
    FILE *stream;
} page;

static qn_status open_page(page *p) {
    *p = (page){0};
    p->stream = open_memstream(&p->text, &p->length);
    return p->stream ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for an inspection");
}

/* Writes what is in it to DIR/name, unless there is no DIR or `status` failed already. */
static qn_status close_page(page *p, const char *dir, const char *name, qn_status status) {
    const bool failed = p->stream && fclose(p->stream);
    if (!status && failed) status = qn_error(QN_CODE_MEMORY, "%s: no memory for its lines", name);
    char *path = status || !dir ? NULL : qn_path("%s/%s", dir, name);
    if (!status && dir && !path) status = qn_error(QN_CODE_MEMORY, "no memory for a path");
    if (!status && dir) status = qn_file_write(path, p->text, p->length);
    free(path);
    free(p->text);
    return status;
}

static void write_figures(FILE *out, const qn_lens_figures *figures,
                          const qn_inspect_place *place) {
    for (int64_t i = 0; i < figures->count; i++)
        qn_lens_write_figure(out, &figures->items[i], place->step, place->tokens);
}

/* Of checkpoint after checkpoint. */
typedef struct inspection {
    const qn_inspector *inspector;
    qn_model *model;
    qn_probe_origin *origin; /* the weights of step 0, which others follow */
    page figures, pictures;
} inspection;

/* Measures the checkpoint that was loaded. */
static qn_status look_at(inspection *of, const qn_inspect_place *place, qn_lens_figures *out) {
    if (!place->step && !place->last) QN_TRY(qn_probe_origin_take(of->model, &of->origin));
    QN_TRY(qn_inspector_measure(of->inspector, of->model, place, out));
    if (of->origin) QN_TRY(qn_probe_change(of->model, of->origin, out));
    write_figures(of->figures.stream, out, place);
    return qn_draw_all(qn_inspector_sentences(of->inspector), of->model, place,
                       of->pictures.stream);
}

/* A run that still trains removes old checkpoints: one that has gone is passed over with a note. */
static qn_status load(const inspection *of, const qn_inspect_target *target, bool *gone) {
    qn_status status = qn_model_load(of->model, target->folder);
    *gone = status && !qn_path_exists(target->folder);
    if (!*gone) return status;
    char *note = qn_path("%s is no longer there, and is passed over", target->folder);
    qn_inspector_note(of->inspector, note ? note : qn_message(status));
    free(note);
    qn_status_free(status);
    return QN_OK;
}

/* *last: the figures of the last that was there. */
static qn_status look_at_all(inspection *of, const qn_inspect_targets *targets,
                             qn_lens_figures *last) {
    for (int64_t i = 0; i < targets->count; i++) {
        const qn_inspect_target *target = &targets->items[i];
        const qn_inspect_place place = {target->step, target->tokens,
                                        (double)i / (double)targets->count,
                                        1 / (double)targets->count, i == targets->count - 1};
        bool gone;
        QN_TRY(qn_context(load(of, target, &gone), "%s", target->folder));
        if (gone) continue;
        qn_lens_figures_free(last);
        QN_TRY(qn_context(look_at(of, &place, last), "%s", target->folder));
    }
    return QN_OK;
}

qn_status qn_inspect_all(const qn_inspector *inspector, qn_model *model,
                         const qn_inspect_targets *targets, const char *dir,
                         qn_lens_figures *last) {
    inspection of = {.inspector = inspector, .model = model};
    qn_status status = dir ? qn_dir_create(dir) : QN_OK;
    if (!status) status = open_page(&of.figures);
    if (!status) status = open_page(&of.pictures);
    if (!status) status = look_at_all(&of, targets, last);
    qn_probe_origin_free(of.origin);
    status = close_page(&of.figures, dir, "inspect.jsonl", status);
    return close_page(&of.pictures, dir, "pictures.jsonl", status);
}
