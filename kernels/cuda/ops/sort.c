/* sort.c: the memory of a sort. */
#include "sort.h"

qn_cuda_sort qn_cuda_sort_lay_out(int64_t n, qn_workspace *w) {
    const size_t column = qn_size_mul((size_t)n, sizeof(int32_t));
    const size_t counts = sizeof(int32_t) * QN_SORT_RANGES * QN_SORT_DIGITS;
    qn_cuda_sort s = {.n = n};
    s.keys = qn_workspace_cut(w, column);
    s.places = qn_workspace_cut(w, column);
    s.keys_2 = qn_workspace_cut(w, column);
    s.places_2 = qn_workspace_cut(w, column);
    s.counts = qn_workspace_cut(w, counts);
    return s;
}
