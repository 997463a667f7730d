/* tokenizer_json.c: the tokenizer in the format of Hugging Face's tokenizers library. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer_impl.h"
#include "quern/files.h"

static qn_status no_memory(void) { return qn_error(QN_CODE_MEMORY, "out of memory for JSON"); }

static json_t *make_vocab(const qn_spm *spm) {
    json_t *vocab = json_object();
    for (int id = 0; id < qn_spm_size(spm); id++)
        json_object_set_new(vocab, qn_spm_at(spm, id).text, json_integer(id));
    return vocab;
}

typedef struct merged {
    int id;
    float score;
} merged;

static int by_falling_score(const void *a, const void *b) {
    const merged *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Every way to make a piece out of two other pieces is a merge of its rank: SentencePiece
 * merges any two neighbours whose union is a piece, whatever pair it was learned from. */
static void append_splits(const qn_spm *spm, int id, json_t *merges) {
    qn_spm_piece piece = qn_spm_at(spm, id);
    for (size_t cut = 1; cut < piece.length; cut++) {
        int left = qn_spm_find(spm, piece.text, cut);
        int right = qn_spm_find(spm, piece.text + cut, piece.length - cut);
        if (left < 0 || right < 0) continue;
        json_array_append_new(
            merges, json_sprintf("%s %s", qn_spm_at(spm, left).text, qn_spm_at(spm, right).text));
    }
}

static json_t *make_merges(const qn_spm *spm) {
    int n = 0, size = qn_spm_size(spm);
    merged *order = malloc((size_t)size * sizeof *order);
    if (!order) return NULL;
    for (int id = 0; id < size; id++) {
        qn_spm_piece piece = qn_spm_at(spm, id);
        if (piece.kind == QN_SPM_NORMAL) order[n++] = (merged){id, piece.score};
    }
    qsort(order, (size_t)n, sizeof *order, by_falling_score);
    json_t *merges = json_array();
    for (int i = 0; i < n; i++) append_splits(spm, order[i].id, merges);
    free(order);
    return merges;
}

static json_t *make_added_tokens(const qn_spm *spm) {
    json_t *added = json_array();
    for (int id = 0; id < qn_spm_size(spm); id++) {
        qn_spm_piece piece = qn_spm_at(spm, id);
        if (piece.kind != QN_SPM_CONTROL && piece.kind != QN_SPM_UNKNOWN) continue;
        json_array_append_new(added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id,
                                               "content", piece.text, "single_word", 0, "lstrip", 0,
                                               "rstrip", 0, "normalized", 0, "special", 1));
    }
    return added;
}

static json_t *make_replace(const char *from, const char *to) {
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", from, "content",
                     to);
}

static json_t *make_tokenizer_json(const qn_spm *spm) {
    json_t *split = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "String",
                              "\n", "behavior", "Isolated", "invert", 0);
    json_t *decoder =
        json_pack("{s:s, s:[o, {s:s}, {s:s}]}", "type", "Sequence", "decoders",
                  make_replace(QN_SPM_SPACE, " "), "type", "ByteFallback", "type", "Fuse");
    json_t *model = json_pack("{s:s, s:n, s:s, s:n, s:n, s:b, s:b, s:o, s:o}", "type", "BPE",
                              "dropout", "unk_token", "<unk>", "continuing_subword_prefix",
                              "end_of_word_suffix", "fuse_unk", 1, "byte_fallback", 1, "vocab",
                              make_vocab(spm), "merges", make_merges(spm));
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", make_added_tokens(spm), "normalizer",
                     make_replace(" ", QN_SPM_SPACE), "pre_tokenizer", split, "post_processor",
                     "decoder", decoder, "model", model);
}

static json_t *make_config_json(void) {
    return json_pack("{s:s, s:s, s:s, s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                     "bos_token", "<s>", "eos_token", "<s>", "unk_token", "<unk>",
                     "clean_up_tokenization_spaces", 0);
}

/* Takes ownership of root. */
static qn_status write_json(const char *dir, const char *name, json_t *root) {
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    char *path = qn_path("%s/%s", dir, name);
    qn_status status = text && path ? qn_file_write(path, text, strlen(text)) : no_memory();
    json_decref(root);
    free(text);
    free(path);
    return status;
}

qn_status qn_tokenizer_export(const qn_tokenizer *t, const char *dir) {
    QN_TRY(write_json(dir, "tokenizer.json", make_tokenizer_json(t->spm)));
    return write_json(dir, "tokenizer_config.json", make_config_json());
}
