/* inspect_all.c: an inspection of checkpoint after checkpoint, into files. */
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

/* Loads a checkpoint and measures it; `origin` is taken from one of step 0. */
static qn_status look_at(const qn_inspector *inspector, qn_model *model,
                         const qn_inspect_target *target, const qn_inspect_place *place,
                         qn_probe_origin **origin, qn_lens_figures *out) {
    QN_TRY(qn_model_load(model, target->folder));
    if (!target->step && !*origin) QN_TRY(qn_probe_origin_take(model, origin));
    QN_TRY(qn_inspector_measure(inspector, model, place, out));
    return *origin ? qn_probe_change(model, *origin, out) : QN_OK;
}

static qn_status look_at_all(const qn_inspector *inspector, qn_model *model,
                             const qn_inspect_targets *targets, FILE *figures_to, FILE *pictures_to,
                             qn_lens_figures *figures) {
    qn_probe_origin *origin = NULL;
    qn_status status = QN_OK;
    for (int64_t i = 0; i < targets->count && !status; i++) {
        const qn_inspect_target *target = &targets->items[i];
        const qn_inspect_place place = {target->step, target->tokens,
                                        (double)i / (double)targets->count,
                                        1 / (double)targets->count};
        qn_lens_figures_free(figures);
        status = look_at(inspector, model, target, &place, &origin, figures);
        if (!status) write_figures(figures_to, figures, &place);
        if (!status)
            status = qn_draw_all(qn_inspector_sentences(inspector), model, &place, pictures_to);
        status = qn_context(status, "%s", target->folder);
    }
    qn_probe_origin_free(origin);
    return status;
}

qn_status qn_inspect_all(const qn_inspector *inspector, qn_model *model,
                         const qn_inspect_targets *targets, const char *dir,
                         qn_lens_figures *last) {
    page figures = {0}, pictures = {0};
    qn_status status = dir ? qn_dir_create(dir) : QN_OK;
    if (!status) status = open_page(&figures);
    if (!status) status = open_page(&pictures);
    if (!status)
        status = look_at_all(inspector, model, targets, figures.stream, pictures.stream, last);
    status = close_page(&figures, dir, "inspect.jsonl", status);
    return close_page(&pictures, dir, "pictures.jsonl", status);
}
