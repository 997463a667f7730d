#include "cli/token_writer.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "harness/status.h"

namespace {

const char *const kLearnt =
    "The mill grinds grain. Grain is ground by the mill, na\u00efve miller!\n";

class TokenWriter : public testing::Test {
  protected:
    TokenWriter() {
        std::string text;
        for (int i = 0; i < 20; i++) text += kLearnt;
        EXPECT_OK(qn_tokenizer_train(text.data(), text.size(), 300, 1, &tokenizer));
        file = open_memstream(&bytes, &length);
        writer = {tokenizer, file, QN_OK};
    }
    ~TokenWriter() {
        fclose(file);
        free(bytes);
        qn_tokenizer_close(tokenizer);
    }
    std::vector<int32_t> encode(const std::string &text) {
        int32_t *ids;
        size_t count;
        EXPECT_OK(qn_tokenizer_encode(tokenizer, text.data(), text.size(), &ids, &count));
        const std::vector<int32_t> out(ids, ids + count);
        free(ids);
        return out;
    }
    std::string written() { return {bytes, length}; }

    qn_tokenizer *tokenizer = nullptr;
    char *bytes = nullptr;
    size_t length = 0;
    FILE *file;
    qn_token_writer writer;
};

} // namespace

// Emoji with modifiers, ideographs and text that is no UTF-8: all byte pieces here.
TEST_F(TokenWriter, TokensOneByOneAreTheWholeText) {
    const std::string text = std::string(kLearnt) +
                             "\U0001F469\U0001F3FD\u200D\U0001F33E mill \u78BE\u78E8\U0001F33E"
                             "  na\u00efve\t\xff\xfe\xe7\xa2 end \xf0\x9f\x8c";
    const std::vector<int32_t> ids = encode(text);
    size_t before = 0;
    for (int32_t id : ids) {
        ASSERT_TRUE(qn_token_write(&writer, id));
        // At once, and no more than the token stands for.
        EXPECT_EQ(length, before + (size_t)qn_tokenizer_token_bytes(tokenizer, id));
        before = length;
    }
    char *whole;
    size_t whole_length;
    ASSERT_OK(qn_tokenizer_decode(tokenizer, ids.data(), ids.size(), &whole, &whole_length));
    EXPECT_EQ(written(), std::string(whole, whole_length));
    EXPECT_EQ(written(), text);
    free(whole);
}

TEST_F(TokenWriter, EndsAtTheBoundary) {
    for (int32_t id : encode("mill")) EXPECT_TRUE(qn_token_write(&writer, id));
    EXPECT_FALSE(qn_token_write(&writer, qn_tokenizer_boundary_id(tokenizer)));
    EXPECT_EQ(writer.status, QN_OK);
    EXPECT_EQ(written(), "mill");
}

TEST_F(TokenWriter, EndsAtATokenWithoutText) {
    EXPECT_FALSE(qn_token_write(&writer, 300));
    EXPECT_ERROR(writer.status, QN_CODE_INVALID, "300", "0 to 299");
    EXPECT_EQ(written(), "");
}
