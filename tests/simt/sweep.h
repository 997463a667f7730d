// sweep.h: runs a test under many schedules.
#ifndef QUERN_TESTS_SIMT_SWEEP_H
#define QUERN_TESTS_SIMT_SWEEP_H

#include <gtest/gtest.h>

#include "simt/config.h"

namespace simt {

// Settings number i of a sweep: seeds count from 0, and with them vary the modes of
// asynchronous work, the number of resident blocks, the place of shared memory and, in the
// race build, preemption. What the environment sets stays.
Config schedule(int i);

// Calls the test with the first n of them. A launch that fails fails the test, and the sweep
// goes no further.
template <typename Test> void for_each_schedule(int n, Test test) {
    ScopedConfig saved;
    for (int i = 0; i < n; i++) {
        config() = schedule(i);
        SCOPED_TRACE(describe(config()));
        try {
            test();
        } catch (const Error &error) {
            ADD_FAILURE() << error.what();
        }
        if (testing::Test::HasFailure()) return;
    }
}

} // namespace simt

#endif
