#include "data/pair_list.h"

#include <stdlib.h>

qn_status qn_pair_list_push(qn_pair_list *list, int32_t a, int32_t b) {
    if (list->count == list->capacity) {
        const int64_t capacity = list->capacity ? 2 * list->capacity : 256;
        qn_word_pair *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return qn_error(QN_CODE_MEMORY, "no memory for %lld pairs of words",
                            (long long)capacity);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = a < b ? (qn_word_pair){a, b} : (qn_word_pair){b, a};
    return QN_OK;
}

static int by_words(const void *x, const void *y) {
    const qn_word_pair *p = x, *q = y;
    if (p->a != q->a) return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

void qn_pair_list_sort(qn_pair_list *list) {
    int64_t kept = 0;
    if (list->count) qsort(list->items, (size_t)list->count, sizeof *list->items, by_words);
    for (int64_t i = 0; i < list->count; i++)
        if (!kept || by_words(&list->items[i], &list->items[kept - 1]))
            list->items[kept++] = list->items[i];
    list->count = kept;
}

bool qn_pair_list_has(const qn_pair_list *list, qn_word_pair pair) {
    return list->count &&
           bsearch(&pair, list->items, (size_t)list->count, sizeof pair, by_words) != NULL;
}
