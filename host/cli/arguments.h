/* arguments.h: values of flags. */
#ifndef QUERN_CLI_ARGUMENTS_H
#define QUERN_CLI_ARGUMENTS_H

#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* A whole number from min to max, or argp's error, which ends the program with 2. */
static inline int64_t qn_arg_int(struct argp_state *state, const char *flag, const char *text,
                                 int64_t min, int64_t max) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < min || value > max) {
        argp_error(state, "%s is \"%s\", expected a whole number from %lld to %lld", flag, text,
                   (long long)min, (long long)max);
    }
    return value;
}

/* A number from min to max. */
static inline double qn_arg_real(struct argp_state *state, const char *flag, const char *text,
                                 double min, double max) {
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (end == text || *end || errno || !(value >= min && value <= max)) {
        argp_error(state, "%s is \"%s\", expected a number from %g to %g", flag, text, min, max);
    }
    return value;
}

#endif
