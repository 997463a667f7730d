// race_report.h: races in words, each pair of places once a launch.
#ifndef QUERN_TESTS_SIMT_RACE_REPORT_H
#define QUERN_TESTS_SIMT_RACE_REPORT_H

#include <string>

#include "simt/race.h"

namespace simt {

struct LaterAccess {
    const Thread &thread;
    Access access;
    bool copy; // by an asynchronous engine
    Site site;
    const void *address;
};

struct EarlierAccess {
    uint32_t block, agent;
    const char *access;
    bool copy;
    Site site;
};

void report_race(const LaterAccess &later, const EarlierAccess &earlier);

} // namespace simt

#endif
