#include "harness/status.h"

TEST(Status, SuccessIsNull) {
    EXPECT_EQ(QN_OK, nullptr);
    EXPECT_EQ(qn_status_code(QN_OK), QN_CODE_OK);
    EXPECT_STREQ(qn_message(QN_OK), "");
    qn_status_free(QN_OK);
}

TEST(Status, KeepsCodeAndFormattedMessage) {
    qn_status status = qn_error(QN_CODE_INVALID, "%s: magic %d, expected %d", "a.bin", 17, 5);
    EXPECT_EQ(qn_status_code(status), QN_CODE_INVALID);
    EXPECT_STREQ(qn_message(status), "a.bin: magic 17, expected 5");
    qn_status_free(status);
}

TEST(Status, ContextGoesBeforeTheMessage) {
    qn_status status = qn_context(qn_error(QN_CODE_IO, "inner %d", 1), "outer %s", "x");
    EXPECT_EQ(qn_status_code(status), QN_CODE_IO);
    EXPECT_STREQ(qn_message(status), "outer x: inner 1");
    qn_status_free(status);
}

TEST(Status, ContextPassesSuccessOn) { EXPECT_EQ(qn_context(QN_OK, "unused %d", 1), QN_OK); }

TEST(Status, MessagesHaveNoLimit) {
    const std::string text(100000, 'x');
    qn_status status = qn_context(qn_error(QN_CODE_IO, "%s", text.c_str()), "%s", text.c_str());
    EXPECT_EQ(qn_message(status), text + ": " + text);
    qn_status_free(status);
}

TEST(Status, PercentSignsInAMessageAreText) {
    qn_status status = qn_context(qn_error(QN_CODE_IO, "%s", "100%s%n"), "run");
    EXPECT_STREQ(qn_message(status), "run: 100%s%n");
    qn_status_free(status);
}

static qn_status stop_at(int failing, int *reached) {
    for (int i = 0; i < 4; i++) {
        QN_TRY(i == failing ? qn_error(QN_CODE_USAGE, "step %d", i) : QN_OK);
        ++*reached;
    }
    return QN_OK;
}

TEST(Status, TryReturnsTheFirstError) {
    int reached = 0;
    EXPECT_ERROR(stop_at(2, &reached), QN_CODE_USAGE, "step 2");
    EXPECT_EQ(reached, 2);
    EXPECT_OK(stop_at(-1, &reached));
    EXPECT_EQ(reached, 6);
}

static qn_status clean_up(bool fail, bool *cleaned) {
    qn_status status;
    QN_TRY_GOTO(status, done, fail ? qn_error(QN_CODE_MEMORY, "full") : QN_OK);
done:
    *cleaned = true;
    return status;
}

TEST(Status, TryGotoKeepsTheErrorForTheCleanUp) {
    bool cleaned = false;
    EXPECT_ERROR(clean_up(true, &cleaned), QN_CODE_MEMORY, "full");
    EXPECT_TRUE(cleaned);
    EXPECT_OK(clean_up(false, &cleaned));
}
