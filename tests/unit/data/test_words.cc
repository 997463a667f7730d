// test_words.cc: tokens that are words, and their relations by token ids.
#include "quern/words.h"

#include <cstring>
#include <map>
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

TEST_F(Words, GoOnWithLetters) {
    std::string text;
    for (int i = 0; i < 200; i++)
        text += "na\u00efve \u2014 caf\u00e9\u2019s \u00abox\u00bb, \u65e5!\n";
    qn_tokenizer_close(tokenizer);
    ASSERT_OK(qn_tokenizer_train(text.data(), text.size(), 290, 1, &tokenizer));
    const int64_t n = qn_tokenizer_vocab_size(tokenizer);
    std::vector<char> goes_on((size_t)n + 3);
    ASSERT_OK(qn_words_of_tokens(tokenizer, n + 3, nullptr, (bool *)goes_on.data()));
    const std::map<std::string, bool> letters = {
        {"\u00ef", true},  {"\u00e9", true},  {"\u65e5", true}, {"x", true}, {"\u2019", false},
        {"\u00bb", false}, {"\u2014", false}, {",", false},     {"!", false}};
    std::set<std::string> seen;
    for (int32_t id = 0; id < (int32_t)n; id++) {
        char *piece = nullptr;
        size_t length = 0;
        ASSERT_OK(qn_tokenizer_decode(tokenizer, &id, 1, &piece, &length));
        const auto known = letters.find(std::string(piece, length));
        if (known != letters.end()) {
            EXPECT_EQ((bool)goes_on[id], known->second) << known->first;
            seen.insert(known->first);
        }
        free(piece);
    }
    EXPECT_GE(seen.size(), 7u);
    for (int64_t id = n; id < n + 3; id++) EXPECT_FALSE(goes_on[id]);
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
