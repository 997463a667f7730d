// cp_async.h: asynchronous copies from global to shared memory (sm_80), in groups a thread.
#ifndef QUERN_TESTS_SIMT_CP_ASYNC_H
#define QUERN_TESTS_SIMT_CP_ASYNC_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

// 16 bytes to shared memory; zeros when !valid.
void cp_async_16(uint32_t destination, const void *source, bool valid, Where where);
void cp_async_commit();
// Completes all but the n newest groups of the thread.
void cp_async_wait(int n, Where where);

} // namespace simt

#endif
