// hopper_exit.h: what must not be left over when threads exit. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_HOPPER_EXIT_H
#define QUERN_TESTS_SIMT_HOPPER_EXIT_H

#include "simt/machine.h"

namespace simt {

// Fails when the thread, or its block if it is the last, has asynchronous work that it had to
// wait for.
void check_hopper_done(const Thread &thread);

} // namespace simt

#endif
