/* status.h: assertions about what a quern function returned. */
#ifndef QUERN_HARNESS_STATUS_H
#define QUERN_HARNESS_STATUS_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/status.h"

/* Takes a status; success passes, an error shows its message. */
inline testing::AssertionResult succeeded(qn_status status) {
    if (!status) return testing::AssertionSuccess();
    testing::AssertionResult failure = testing::AssertionFailure() << qn_message(status);
    qn_status_free(status);
    return failure;
}

/* Takes a status; passes when it is an error of that code whose message has all parts. */
inline testing::AssertionResult failed_with(qn_status status, qn_code code,
                                            const std::vector<std::string> &parts) {
    const std::string message = qn_message(status);
    const qn_code found = qn_status_code(status);
    qn_status_free(status);
    if (found != code) {
        return testing::AssertionFailure()
               << "code " << found << ", expected " << code << ": " << message;
    }
    for (const std::string &part : parts) {
        if (message.find(part) == std::string::npos) {
            return testing::AssertionFailure() << "no \"" << part << "\" in: " << message;
        }
    }
    return testing::AssertionSuccess();
}

#define ASSERT_OK(expr) ASSERT_TRUE(succeeded(expr))
#define EXPECT_OK(expr) EXPECT_TRUE(succeeded(expr))
/* EXPECT_ERROR(expr, code, part of the message, …) */
#define EXPECT_ERROR(expr, code, ...) EXPECT_TRUE(failed_with(expr, code, {__VA_ARGS__}))

#endif
