#include "cli/plan_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

static json_t *json_of_size(size_t bytes) { return json_integer((json_int_t)bytes); }

static json_t *json_of_buffer(const qn_buffer *b) {
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "name", b->name, "group",
                     qn_buffer_group_name(b->group), "dtype", qn_dtype_name(b->dtype), "count",
                     (json_int_t)b->count, "copies", (json_int_t)b->copies, "bytes",
                     json_of_size(b->stride * (size_t)b->copies));
}

static json_t *json_of_buffers(const qn_plan *plan) {
    json_t *list = json_array();
    for (int i = 0; i < QN_N_BUFFERS; i++) {
        if (plan->buffers[i].name) json_array_append_new(list, json_of_buffer(&plan->buffers[i]));
    }
    return list;
}

static json_t *json_of_choice(const qn_plan_options *o, size_t bytes) {
    return json_pack("{s:I, s:I, s:I, s:s, s:o}", "batch_size", (json_int_t)o->batch_size,
                     "seq_len", (json_int_t)o->seq_len, "grad_accum", (json_int_t)o->grad_accum,
                     "recompute", qn_recompute_names[o->recompute], "total_bytes",
                     json_of_size(bytes));
}

static json_t *json_of_fit(const qn_fit *fit) {
    json_t *list = json_array();
    for (int i = 0; i < fit->count; i++) {
        const qn_fit_choice *c = &fit->choices[i];
        json_array_append_new(list, json_of_choice(&c->options, c->bytes));
    }
    return list;
}

static json_t *json_of_planned(const qn_planned *p) {
    json_t *root = json_of_choice(&p->plan.options, p->plan.total_bytes);
    json_t *rest = json_pack("{s:s, s:s, s:s, s:I, s:f, s:s, s:o, s:b, s:o, s:o}", "version",
                             QN_VERSION, "model", p->model, "device", p->device, "n_params",
                             (json_int_t)p->n_params, "flops_per_token", p->flops_per_token,
                             "storage", qn_dtype_name(p->plan.options.storage), "memory_bytes",
                             json_of_size(p->memory), "fits", p->fits, "buffers",
                             json_of_buffers(&p->plan), "alternatives", json_of_fit(&p->fit));
    const int failed = !rest || json_object_update(root, rest);
    json_decref(rest);
    if (!failed) return root;
    json_decref(root);
    return NULL;
}

qn_status qn_plan_json_write(const qn_planned *planned, const char *path) {
    json_t *root = json_of_planned(planned);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!text) {
        return qn_error(QN_CODE_USAGE,
                        "%s: the model's name is not UTF-8, which JSON needs (or memory ran out)",
                        path);
    }
    qn_status status = qn_file_write(path, text, strlen(text));
    free(text);
    return status;
}
