/* plan_cache.h: the plans of a device, each made once. It grows with the number of different
 * calls, of which a model of fixed shapes has a few dozen; a plan takes about 2 KB of host
 * memory. */
#ifndef QUERN_CUDA_PLAN_CACHE_H
#define QUERN_CUDA_PLAN_CACHE_H

#include <pthread.h>

#include "plan.h"

/* A hash table, probed linearly; the number of slots is 0 or a power of 2. Plans stay where they
 * are when it grows. */
typedef struct qn_plan_cache {
    pthread_mutex_t lock;
    qn_plan **slots;
    size_t n_slots, n_plans;
} qn_plan_cache;

void qn_plan_cache_open(qn_plan_cache *cache);
void qn_plan_cache_close(qn_plan_cache *cache, const qn_cublaslt *blas);

/* The plan of that key, made where it is missing. The caller holds the lock, and goes on holding
 * it while it uses the plan, because a plan points to the extras of one call at a time. */
qn_status qn_plan_cache_find(qn_plan_cache *cache, const qn_cublaslt *blas, const qn_plan_key *key,
                             qn_plan_extras extras, size_t workspace, qn_plan **out);

#endif
