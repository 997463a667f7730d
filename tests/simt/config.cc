#include "simt/config.h"

#include <cstdlib>
#include <cstring>

#include "simt/text.h"

namespace simt {

static const char *const kModeNames[] = {"eager", "late", "random", "latest"};

static double number_from_environment(const char *name, double otherwise) {
    const char *text = getenv(name);
    if (!text) return otherwise;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < 0)
        throw Error(format("%s=%s: expected a number, 0 or more", name, text));
    return value;
}

static AsyncMode mode_from_environment(AsyncMode otherwise) {
    const char *text = getenv("QN_SIMT_ASYNC");
    if (!text) return otherwise;
    for (int i = 0; i < 4; i++)
        if (!strcmp(text, kModeNames[i])) return (AsyncMode)i;
    throw Error(format("QN_SIMT_ASYNC=%s: expected eager, late, random or latest", text));
}

static Config from_environment() {
    Config c;
    c.seed = (uint64_t)number_from_environment("QN_SIMT_SEED", (double)c.seed);
    c.async = mode_from_environment(c.async);
    c.shared_skew = (uint32_t)number_from_environment("QN_SIMT_SKEW", c.shared_skew);
    c.resident_blocks = (int)number_from_environment("QN_SIMT_RESIDENT", c.resident_blocks);
    c.preemption = number_from_environment("QN_SIMT_PREEMPTION", c.preemption);
    c.race = number_from_environment("QN_SIMT_RACE", c.race) != 0;
    return c;
}

Config &config() {
    static Config current = from_environment();
    return current;
}

std::string describe(const Config &c) {
    return format("QN_SIMT_SEED=%llu QN_SIMT_ASYNC=%s QN_SIMT_SKEW=%u QN_SIMT_RESIDENT=%d "
                  "QN_SIMT_PREEMPTION=%g",
                  (unsigned long long)c.seed, kModeNames[(int)c.async], c.shared_skew,
                  c.resident_blocks, c.preemption);
}

} // namespace simt
