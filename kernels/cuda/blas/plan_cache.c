#include "plan_cache.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

void qn_plan_cache_open(qn_plan_cache *cache) {
    *cache = (qn_plan_cache){0};
    pthread_mutex_init(&cache->lock, NULL);
}

void qn_plan_cache_close(qn_plan_cache *cache, const qn_cublaslt *blas) {
    for (size_t i = 0; i < cache->n_slots; i++) {
        if (!cache->slots[i]) continue;
        qn_plan_close(blas, cache->slots[i]);
        free(cache->slots[i]);
    }
    free(cache->slots);
    pthread_mutex_destroy(&cache->lock);
}

/* FNV-1a over the words of the key (Fowler, Noll & Vo), its high bits folded in. */
static size_t hash(const qn_plan_key *key) {
    const int64_t *words = (const int64_t *)key;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < sizeof *key / sizeof *words; i++)
        h = (h ^ (uint64_t)words[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* Where the plan of that key is, or would be put. There is a free slot. */
static qn_plan **slot_of(qn_plan **slots, size_t n_slots, const qn_plan_key *key) {
    size_t at = hash(key) & (n_slots - 1);
    while (slots[at] && memcmp(&slots[at]->key, key, sizeof *key)) at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

/* At most half of the slots are taken. */
static qn_status make_room(qn_plan_cache *cache) {
    if (2 * (cache->n_plans + 1) <= cache->n_slots) return QN_OK;
    const size_t n_slots = cache->n_slots ? 2 * cache->n_slots : FIRST_SLOTS;
    qn_plan **slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return qn_error(QN_CODE_MEMORY, "cannot allocate %zu places for plans of products",
                        n_slots);
    for (size_t i = 0; i < cache->n_slots; i++)
        if (cache->slots[i]) *slot_of(slots, n_slots, &cache->slots[i]->key) = cache->slots[i];
    free(cache->slots);
    cache->slots = slots;
    cache->n_slots = n_slots;
    return QN_OK;
}

static qn_status make_plan(const qn_cublaslt *blas, const qn_plan_key *key, qn_plan_extras extras,
                           size_t workspace, qn_plan **out) {
    qn_plan *plan = malloc(sizeof *plan);
    if (!plan) return qn_error(QN_CODE_MEMORY, "cannot allocate the plan of a product");
    qn_status status = qn_plan_make(blas, key, extras, workspace, plan);
    if (status) {
        free(plan);
        return status;
    }
    *out = plan;
    return QN_OK;
}

qn_status qn_plan_cache_find(qn_plan_cache *cache, const qn_cublaslt *blas, const qn_plan_key *key,
                             qn_plan_extras extras, size_t workspace, qn_plan **out) {
    QN_TRY(make_room(cache));
    qn_plan **slot = slot_of(cache->slots, cache->n_slots, key);
    if (*slot) {
        *out = *slot;
        return qn_plan_point(blas, *slot, extras);
    }
    QN_TRY(make_plan(blas, key, extras, workspace, slot));
    cache->n_plans++;
    *out = *slot;
    return QN_OK;
}
