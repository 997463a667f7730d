#include "data/examples.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int64_t qn_examples_targets(const qn_examples *e) {
    return e->targets ? e->n_targets : e->length - 1;
}

qn_status qn_examples_check(const qn_examples *e, const char *name) {
    if (e->length < 2 || e->length > INT32_MAX)
        return qn_error(QN_CODE_INVALID, "%s: examples of %lld tokens; expected 2 to %d", name,
                        (long long)e->length, INT32_MAX);
    if (e->targets && e->n_targets < 1)
        return qn_error(QN_CODE_INVALID, "%s: examples without targets; expected at least one",
                        name);
    for (int64_t i = 0, least = 1; e->targets && i < e->n_targets; i++) {
        const int64_t at = e->targets[i];
        if (at < least || at >= e->length)
            return qn_error(QN_CODE_INVALID,
                            "%s: target %lld of an example is at position %lld; expected ascending "
                            "positions from 1 to %lld",
                            name, (long long)i, (long long)at, (long long)e->length - 1);
        least = at + 1;
    }
    return QN_OK;
}

static qn_status make_targets(qn_examples *e, int64_t n) {
    e->targets = calloc((size_t)n + 1, sizeof *e->targets);
    e->n_targets = n;
    if (e->targets) return QN_OK;
    return qn_error(QN_CODE_MEMORY, "out of memory for the %lld targets of an example",
                    (long long)n);
}

qn_status qn_examples_copy(const qn_examples *from, qn_examples *out) {
    *out = (qn_examples){.length = from->length};
    if (!from->targets) return QN_OK;
    QN_TRY(make_targets(out, from->n_targets));
    memcpy(out->targets, from->targets, (size_t)from->n_targets * sizeof *out->targets);
    return QN_OK;
}

void qn_examples_free(qn_examples *e) {
    free(e->targets);
    *e = (qn_examples){0};
}

void qn_examples_mask(const qn_examples *e, int32_t *targets) {
    int64_t position = 1;
    for (int64_t i = 0; e->targets && i < e->n_targets; i++, position++)
        for (; position < e->targets[i]; position++) targets[position - 1] = -1;
    for (; e->targets && position < e->length; position++) targets[position - 1] = -1;
}

/* --- data.json --- */

json_t *qn_examples_to_json(const qn_examples *e) {
    json_t *out = json_pack("{s:I}", "length", (json_int_t)e->length);
    if (!e->targets) return out;
    json_t *targets = json_array();
    for (int64_t i = 0; i < e->n_targets; i++)
        json_array_append_new(targets, json_integer(e->targets[i]));
    json_object_set_new(out, "targets", targets);
    return out;
}

static qn_status read_targets(const json_t *list, const char *path, qn_examples *out) {
    QN_TRY(make_targets(out, (int64_t)json_array_size(list)));
    for (int64_t i = 0; i < out->n_targets; i++) {
        const json_t *position = json_array_get(list, (size_t)i);
        if (!json_is_integer(position))
            return qn_error(QN_CODE_INVALID,
                            "%s: target %lld is not a whole number; expected the position of a "
                            "token in an example",
                            path, (long long)i);
        out->targets[i] = json_integer_value(position);
    }
    return QN_OK;
}

static qn_status read_examples(const json_t *examples, const char *path, qn_examples *out) {
    static const char *const known[] = {"length", "targets", NULL};
    const json_t *targets = json_object_get(examples, "targets");
    QN_TRY(qn_json_known_keys(examples, path, known));
    QN_TRY(qn_json_int(examples, path, "length", 2, INT32_MAX, &out->length));
    if (targets && !json_is_array(targets))
        return qn_json_misfit(examples, path, "targets", QN_CODE_INVALID, "a list of positions");
    if (targets) QN_TRY(read_targets(targets, path, out));
    return qn_examples_check(out, path);
}

qn_status qn_examples_from_json(const json_t *root, const char *path, qn_examples *out) {
    *out = (qn_examples){0};
    const json_t *examples = json_object_get(root, "examples");
    if (!examples) return QN_OK;
    if (!json_is_object(examples))
        return qn_json_misfit(root, path, "examples", QN_CODE_INVALID,
                              "an object with length and targets");
    qn_status status = read_examples(examples, path, out);
    if (status) qn_examples_free(out);
    return qn_context(status, "\"examples\"");
}
