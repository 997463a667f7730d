// test_words.cc: tokens that are words, and their relations by token ids.
#include "quern/words.h"

#include <cstring>
#include <set>

#include "harness/status.h"
#include "harness/temp_dir.h"

namespace {

class Words : public testing::Test {
  protected:
    void SetUp() override {
        std::string text;
        for (int i = 0; i < 200; i++)
            text += "we purchase what they buy and Buy an ox, then pur-chase 1815 flowers\n";
        ASSERT_OK(qn_tokenizer_train(text.data(), text.size(), 350, 1, &tokenizer));
    }
    void TearDown() override { qn_tokenizer_close(tokenizer); }

    int32_t id_of(const std::string &text) {
        int32_t *ids = nullptr;
        size_t count = 0;
        EXPECT_OK(qn_tokenizer_encode(tokenizer, text.data(), text.size(), &ids, &count));
        EXPECT_EQ(count, 1u) << text;
        const int32_t id = count ? ids[0] : -1;
        free(ids);
        return id;
    }
    qn_tokenizer *tokenizer = nullptr;
};

TEST_F(Words, AreTokensOfASpaceAndLetters) {
    qn_words words;
    ASSERT_OK(qn_words_of(tokenizer, &words));
    std::set<std::string> found;
    for (int64_t i = 0; i < words.count; i++) {
        const std::string text = words.text[i];
        EXPECT_EQ(id_of(" " + text), words.ids[i]);
        EXPECT_GE(text.size(), 3u);
        EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos) << text;
        if (i > 0) {
            EXPECT_LT(words.ids[i - 1], words.ids[i]);
        }
        EXPECT_TRUE(found.insert(text).second) << text;
    }
    for (const char *word : {"purchase", "what", "they", "buy"})
        EXPECT_TRUE(found.count(word)) << word;
    for (const char *other : {"Buy", "ox", "an"}) EXPECT_FALSE(found.count(other)) << other;
    qn_words_free(&words);
}

TEST_F(Words, RelationsAreOfTokens) {
    const TempDir dir;
    dir.write("data.verb", "00000000 40 v 02 buy 0 purchase 0 000 | obtain  \n");
    dir.write("index.verb", "buy v 1 0 1 1 00000000  \npurchase v 1 0 1 1 00000000  \n");
    for (const char *part : {"noun", "adj", "adv"})
        for (const char *kind : {"data.", "index."}) dir.write(std::string(kind) + part, "");
    qn_word_pairs synonyms, antonyms;
    ASSERT_OK(qn_words_related(tokenizer, dir.path().c_str(), &synonyms, &antonyms));
    ASSERT_EQ(synonyms.count, 1);
    EXPECT_EQ(antonyms.count, 0);
    const std::set<int32_t> expected = {id_of(" buy"), id_of(" purchase")};
    EXPECT_EQ((std::set<int32_t>{synonyms.items[0].a, synonyms.items[0].b}), expected);
    EXPECT_LT(synonyms.items[0].a, synonyms.items[0].b);
    qn_word_pairs_free(&synonyms);
    qn_word_pairs_free(&antonyms);
    EXPECT_ERROR(qn_words_related(tokenizer, (dir / "none").c_str(), &synonyms, &antonyms),
                 QN_CODE_IO, "wordnet-base");
}

} // namespace
