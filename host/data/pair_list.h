/* pair_list.h: a growing list of pairs of words. */
#ifndef QUERN_DATA_PAIR_LIST_H
#define QUERN_DATA_PAIR_LIST_H

#include <stdbool.h>

#include "quern/words.h"

/* {0} is empty. */
typedef struct qn_pair_list {
    qn_word_pair *items;
    int64_t count, capacity;
} qn_pair_list;

/* Two different words, in either order. */
qn_status qn_pair_list_push(qn_pair_list *list, int32_t a, int32_t b);
/* Sorts, each pair once. */
void qn_pair_list_sort(qn_pair_list *list);
/* In a sorted list. */
bool qn_pair_list_has(const qn_pair_list *list, qn_word_pair pair);

#endif
