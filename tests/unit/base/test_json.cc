#include "base/json.h"

#include "harness/status.h"
#include "harness/temp_dir.h"

class Json : public testing::Test {
  protected:
    ~Json() override { json_decref(root); }

    void parse(const std::string &text) {
        json_decref(root);
        ASSERT_OK(qn_json_parse("f", text.data(), text.size(), &root));
    }
    qn_status fails(const std::string &text) {
        json_t *none;
        qn_status status = qn_json_parse("f", text.data(), text.size(), &none);
        EXPECT_EQ(none, nullptr);
        return status;
    }

    json_t *root = nullptr;
    TempDir dir;
};

TEST_F(Json, LoadsAFile) {
    ASSERT_OK(qn_json_load(dir.write("a.json", "{\"n\": 3}\n").c_str(), &root));
    int64_t n = 0;
    EXPECT_OK(qn_json_int(root, "a.json", "n", 0, 9, &n));
    EXPECT_EQ(n, 3);
}

TEST_F(Json, FileErrorsNameTheFile) {
    EXPECT_ERROR(qn_json_load((dir / "none.json").c_str(), &root), QN_CODE_IO, "none.json",
                 "No such file");
    EXPECT_ERROR(qn_json_load(dir.path().c_str(), &root), QN_CODE_IO, dir.path(), "directory");
    EXPECT_ERROR(qn_json_load(dir.write("bad.json", "{\n\"a\": 1,\n  oops}").c_str(), &root),
                 QN_CODE_INVALID, "bad.json: line 3, column 6", "oops");
}

TEST_F(Json, RefusesWhatIsNotOneObject) {
    EXPECT_ERROR(fails(""), QN_CODE_INVALID, "f: line 1");
    EXPECT_ERROR(fails("[1]"), QN_CODE_INVALID, "expected an object");
    EXPECT_ERROR(fails("{} {}"), QN_CODE_INVALID, "f: line 1, column 4");
    EXPECT_ERROR(fails("{\"a\": 1, \"a\": 2}"), QN_CODE_INVALID, "duplicate", "a");
    EXPECT_ERROR(fails("{\"b\": {\"a\": 1, \"a\": 2}}"), QN_CODE_INVALID, "duplicate");
    EXPECT_ERROR(fails("{\"a\": NaN}"), QN_CODE_INVALID, "NaN");
    EXPECT_ERROR(fails("{\"a\": 99999999999999999999}"), QN_CODE_INVALID, "integer");
    EXPECT_ERROR(fails("{\"a\": \"\xff\"}"), QN_CODE_INVALID, "0xff");
    EXPECT_ERROR(fails(std::string(100000, '[')), QN_CODE_INVALID, "depth");
}

TEST_F(Json, IntegersWithinTheirRange) {
    parse("{\"n\": 5, \"x\": 5.0, \"s\": \"5\", \"z\": null}");
    int64_t n = -7;
    EXPECT_OK(qn_json_int(root, "f", "n", 5, 5, &n));
    EXPECT_EQ(n, 5);
    EXPECT_ERROR(qn_json_int(root, "f", "n", 6, 9, &n), QN_CODE_INVALID,
                 "f: \"n\" is 5; expected an integer from 6 to 9");
    EXPECT_ERROR(qn_json_int(root, "f", "n", 0, 4, &n), QN_CODE_INVALID, "0 to 4");
    EXPECT_ERROR(qn_json_int(root, "f", "x", 0, 9, &n), QN_CODE_INVALID, "is 5.0");
    EXPECT_ERROR(qn_json_int(root, "f", "s", 0, 9, &n), QN_CODE_INVALID, "is \"5\"");
    EXPECT_ERROR(qn_json_int(root, "f", "z", 0, 9, &n), QN_CODE_INVALID, "is null");
    EXPECT_ERROR(qn_json_int(root, "f", "gone", 0, 9, &n), QN_CODE_INVALID,
                 "\"gone\" is missing; expected an integer from 0 to 9");
    EXPECT_EQ(n, 5) << "a failed getter leaves the value alone";
}

TEST_F(Json, FallbacksForAbsentAndNull) {
    parse("{\"n\": 5, \"z\": null, \"s\": \"t\", \"b\": true, \"x\": 0.5}");
    int64_t n;
    double x;
    bool b;
    const char *s;
    EXPECT_OK(qn_json_int_or(root, "f", "gone", 0, 9, -1, &n));
    EXPECT_EQ(n, -1);
    EXPECT_OK(qn_json_int_or(root, "f", "z", 0, 9, -2, &n));
    EXPECT_EQ(n, -2);
    EXPECT_OK(qn_json_int_or(root, "f", "n", 0, 9, -1, &n));
    EXPECT_EQ(n, 5);
    EXPECT_ERROR(qn_json_int_or(root, "f", "n", 0, 4, -1, &n), QN_CODE_INVALID, "0 to 4");
    EXPECT_OK(qn_json_number_or(root, "f", "gone", 0, 1, 2.5, &x));
    EXPECT_EQ(x, 2.5);
    EXPECT_OK(qn_json_number_or(root, "f", "x", 0, 1, 2.5, &x));
    EXPECT_EQ(x, 0.5);
    EXPECT_OK(qn_json_bool_or(root, "f", "z", true, &b));
    EXPECT_TRUE(b);
    EXPECT_OK(qn_json_bool_or(root, "f", "b", false, &b));
    EXPECT_TRUE(b);
    EXPECT_OK(qn_json_string_or(root, "f", "z", "d", &s));
    EXPECT_STREQ(s, "d");
    EXPECT_OK(qn_json_string_or(root, "f", "s", "d", &s));
    EXPECT_STREQ(s, "t");
    EXPECT_ERROR(qn_json_string_or(root, "f", "n", "d", &s), QN_CODE_INVALID, "a string");
}

TEST_F(Json, NumbersBoolsStrings) {
    parse("{\"n\": 3, \"x\": 1e-5, \"b\": false, \"s\": \"hé\"}");
    double x;
    bool b = true;
    const char *s;
    EXPECT_OK(qn_json_number(root, "f", "n", 0, 3, &x));
    EXPECT_EQ(x, 3.0);
    EXPECT_OK(qn_json_number(root, "f", "x", 0, 1, &x));
    EXPECT_EQ(x, 1e-5);
    EXPECT_ERROR(qn_json_number(root, "f", "n", 0, 2.5, &x), QN_CODE_INVALID, "0 to 2.5");
    EXPECT_ERROR(qn_json_number(root, "f", "b", 0, 1, &x), QN_CODE_INVALID, "is false");
    EXPECT_OK(qn_json_bool(root, "f", "b", &b));
    EXPECT_FALSE(b);
    EXPECT_ERROR(qn_json_bool(root, "f", "n", &b), QN_CODE_INVALID, "true or false");
    EXPECT_OK(qn_json_string(root, "f", "s", &s));
    EXPECT_STREQ(s, "hé");
    EXPECT_ERROR(qn_json_string(root, "f", "gone", &s), QN_CODE_INVALID, "missing");
}

TEST_F(Json, LongValuesAreShownInPart) {
    parse("{\"n\": \"" + std::string(500, 'q') + "\"}");
    int64_t n;
    qn_status status = qn_json_int(root, "f", "n", 0, 1, &n);
    EXPECT_LT(strlen(qn_message(status)), 200u);
    EXPECT_ERROR(status, QN_CODE_INVALID, "qqq…; expected");
}

TEST_F(Json, UnknownKeys) {
    const char *known[] = {"steps", "seed", NULL};
    parse("{\"seed\": 1}");
    EXPECT_OK(qn_json_known_keys(root, "f", known));
    parse("{\"seed\": 1, \"sed\": 2}");
    EXPECT_ERROR(qn_json_known_keys(root, "f", known), QN_CODE_INVALID, "f", "\"sed\"",
                 "known are: steps, seed");
}
