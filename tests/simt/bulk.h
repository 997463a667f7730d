// bulk.h: copies by the tensor memory accelerator, and additions, between global and shared
// memory (PTX ISA 9.7.8.24). Loads complete on an mbarrier; stores and additions belong to
// groups of the thread.
#ifndef QUERN_TESTS_SIMT_BULK_H
#define QUERN_TESTS_SIMT_BULK_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

// Addresses and size: multiples of 16, and the size not 0.
void bulk_load(uint32_t destination, const void *source, uint32_t bytes, uint32_t mbarrier,
               Where where);
void bulk_store(void *destination, uint32_t source, uint32_t bytes, Where where);
void bulk_reduce_add_f32(float *destination, uint32_t source, uint32_t bytes, Where where);

void bulk_commit();
// All but the n newest groups have read their sources …
void bulk_wait_read(int n, Where where);
// … and have written their destinations.
void bulk_wait(int n, Where where);

} // namespace simt

#endif
