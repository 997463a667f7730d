#include "cli/inspect_table.h"

#include <math.h>
#include <string.h>

/* A column: a metric, and how its numbers look. */
typedef struct column {
    const char *metric, *title;
    int digits;
    bool at; /* its `at` stands behind it */
} column;

static const column of_heads[] = {
    {"previous_token", "previous", 3, false},
    {"induction", "induction", 3, false},
    {"offset", "best offset", 3, true},
    {"position_share", "position", 3, false},
    {"q_norm", "|q|", 2, false},
    {"k_norm", "|k|", 2, false},
    {"q_rank", "rank q", 1, false},
    {"k_rank", "rank k", 1, false},
    {"q_synonym_auc", "syn. q", 3, false},
    {"k_synonym_auc", "syn. k", 3, false},
    {"row_synonym_auc", "syn. rows", 3, false},
    {"ablation", "without it", 4, false},
};
static const column of_depths[] = {
    {"lens_accuracy", "accuracy", 4, false},
    {"lens_loss", "loss", 3, false},
    {"lens_entropy", "entropy", 3, false},
    {"lens_kl", "KL to output", 3, false},
};
static const column of_parameters[] = {{"change_q", "change of Wq", 3, false},
                                       {"change_k", "change of Wk", 3, false}};
static const column of_model[] = {
    {"embedding_synonym_auc", "embeddings: AUC of synonyms", 3, false},
    {"embedding_antonym_auc", "embeddings: AUC of antonyms (control)", 3, false},
    {"change_embedding", "change of the embeddings", 3, false},
};
enum { WIDTH = 12 };
#define LENGTH(table) ((int)(sizeof(table) / sizeof *(table)))

static bool is_measured(const qn_lens_figures *figures, const char *metric) {
    for (int64_t i = 0; i < figures->count; i++) {
        if (!strcmp(figures->items[i].metric, metric)) return true;
    }
    return false;
}

static void print_cell(FILE *out, const qn_lens_figure *f, const column *c) {
    char text[48];
    if (!f) {
        text[0] = 0;
    } else if (!isfinite(f->value)) {
        strcpy(text, "-");
    } else if (c->at) {
        snprintf(text, sizeof text, "%.*f at %lld", c->digits, f->value, (long long)f->at);
    } else {
        snprintf(text, sizeof text, "%.*f", c->digits, f->value);
    }
    fprintf(out, " %*s", WIDTH, text);
}

/* Prints a row when any of its columns is there. */
static void print_row(FILE *out, const qn_lens_figures *figures, const column *columns, int n,
                      int64_t layer, int64_t head) {
    bool any = false;
    for (int i = 0; i < n; i++) any = any || qn_lens_find(figures, columns[i].metric, layer, head);
    if (!any) return;
    if (head >= 0) {
        fprintf(out, "%5lld %5lld", (long long)layer, (long long)head);
    } else {
        fprintf(out, "%5lld", (long long)layer);
    }
    for (int i = 0; i < n; i++) {
        if (!is_measured(figures, columns[i].metric)) continue;
        print_cell(out, qn_lens_find(figures, columns[i].metric, layer, head), &columns[i]);
    }
    fputc('\n', out);
}

static void extent(const qn_lens_figures *figures, int64_t *layers, int64_t *heads) {
    *layers = *heads = 0;
    for (int64_t i = 0; i < figures->count; i++) {
        const qn_lens_figure *f = &figures->items[i];
        if (f->layer >= *layers) *layers = f->layer + 1;
        if (f->head >= *heads) *heads = f->head + 1;
    }
}

/* Rows of layers, and of their heads where `heads` is not 0. */
static void print_table(FILE *out, const qn_lens_figures *figures, const char *title,
                        const column *columns, int n, bool with_heads) {
    int shown = 0;
    int64_t layers, heads;
    extent(figures, &layers, &heads);
    for (int i = 0; i < n; i++) {
        if (!is_measured(figures, columns[i].metric)) continue;
        if (!shown++) fprintf(out, with_heads ? "%5s  head" : "%5s", title);
        fprintf(out, " %*s", WIDTH, columns[i].title);
    }
    if (!shown) return;
    fputc('\n', out);
    for (int64_t l = 0; l < layers; l++) {
        if (!with_heads) print_row(out, figures, columns, n, l, -1);
        for (int64_t h = 0; with_heads && h < heads; h++) print_row(out, figures, columns, n, l, h);
    }
    fputc('\n', out);
}

void qn_print_inspection(FILE *out, const qn_lens_figures *figures) {
    print_table(out, figures, "layer", of_heads, LENGTH(of_heads), true);
    print_table(out, figures, "depth", of_depths, LENGTH(of_depths), false);
    print_table(out, figures, "layer", of_parameters, LENGTH(of_parameters), false);
    for (int i = 0; i < LENGTH(of_model); i++) {
        const qn_lens_figure *f = qn_lens_find(figures, of_model[i].metric, -1, -1);
        if (!f || !isfinite(f->value)) continue;
        fprintf(out, "%s: %.*f", of_model[i].title, of_model[i].digits, f->value);
        if (isfinite(f->error)) fprintf(out, " ± %.*f", of_model[i].digits, f->error);
        fprintf(out, " (baseline %.3g, n = %lld)\n", f->baseline, (long long)f->n);
    }
}
