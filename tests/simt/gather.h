// gather.h: how the lanes of a warp come together; beneath collectives and barriers.
#ifndef QUERN_TESTS_SIMT_GATHER_H
#define QUERN_TESTS_SIMT_GATHER_H

#include "simt/machine.h"

namespace simt {

// True for the last lane to arrive, which receives the others' arguments and lets them go on
// with resume(). Another lane returns false once it may go on.
bool gather(uint32_t mask, const char *operation, void *arguments, Where where,
            Gathering &complete);
void resume(const Gathering &complete);

std::vector<Thread *> threads_of(const Gathering &complete);

} // namespace simt

#endif
