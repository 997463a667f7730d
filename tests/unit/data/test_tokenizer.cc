#include <gtest/gtest.h>
#include <jansson.h>

#include <cstring>
#include <memory>
#include <random>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/tokenizer.h"
#include "sample_text.h"

namespace {

using Tokenizer = std::unique_ptr<qn_tokenizer, decltype(&qn_tokenizer_close)>;

Tokenizer train(const std::string &text, int vocab_size, int n_threads = 1) {
    qn_tokenizer *t = nullptr;
    EXPECT_OK(qn_tokenizer_train(text.data(), text.size(), vocab_size, n_threads, &t));
    return {t, qn_tokenizer_close};
}

std::vector<int32_t> encode(const Tokenizer &t, const std::string &text) {
    int32_t *ids = nullptr;
    size_t count = 0;
    EXPECT_OK(qn_tokenizer_encode(t.get(), text.data(), text.size(), &ids, &count));
    std::vector<int32_t> found(ids, ids + count);
    free(ids);
    return found;
}

std::string decode(const Tokenizer &t, const std::vector<int32_t> &ids) {
    char *text = nullptr;
    size_t length = 0;
    EXPECT_OK(qn_tokenizer_decode(t.get(), ids.data(), ids.size(), &text, &length));
    EXPECT_EQ(text[length], 0);
    std::string found(text, length);
    free(text);
    return found;
}

class TokenizerTest : public testing::Test {
  protected:
    static void SetUpTestSuite() { shared = new Tokenizer(train(sample_text(20000), 400)); }
    static void TearDownTestSuite() { delete shared; }
    static const Tokenizer &t() { return *shared; }

    static void expect_round_trip(const std::string &text) {
        const std::vector<int32_t> ids = encode(t(), text);
        ASSERT_EQ(decode(t(), ids), text);
        size_t bytes = 0;
        for (int32_t id : ids) {
            ASSERT_GE(id, 0);
            ASSERT_LT(id, qn_tokenizer_vocab_size(t().get()));
            bytes += (size_t)qn_tokenizer_token_bytes(t().get(), id);
        }
        ASSERT_EQ(bytes, text.size());
    }

    static Tokenizer *shared;
};
Tokenizer *TokenizerTest::shared;

TEST_F(TokenizerTest, HasTheVocabularyAskedFor) {
    EXPECT_EQ(qn_tokenizer_vocab_size(t().get()), 400);
    const int32_t boundary = qn_tokenizer_boundary_id(t().get());
    EXPECT_EQ(qn_tokenizer_token_bytes(t().get(), boundary), 0);
    EXPECT_EQ(decode(t(), {boundary, boundary}), "");
}

TEST_F(TokenizerTest, CompressesTheTextItLearned) {
    const std::string text = sample_text(20000);
    EXPECT_LT(encode(t(), text).size(), text.size() / 3);
    expect_round_trip(text);
}

TEST_F(TokenizerTest, RoundTripsAwkwardText) {
    const std::string texts[] = {
        "",
        " ",
        "   leading and   inner   and trailing   ",
        "\n\n a\n \nb \n",
        "\r\n\ttabs\t\t",
        "naïve café — “quotes” … 東京 🎉 \u00a0\u200b\u2028",
        "\u2581a\u2581\u2581 b \u2581",
        "\u2585 \ufffd \ufeff",
        "<s></s><unk><0x41><nl>",
        std::string("zero\0\0bytes\0", 12),
        "\xff\xfe\xc0\x80\xed\xa0\x80 \xe2\x96 \xf4\x90\x80\x80",
    };
    for (const std::string &text : texts) expect_round_trip(text);
}

TEST_F(TokenizerTest, RoundTripsRandomBytes) {
    std::mt19937 random(7);
    const std::string alphabet("\xe2\x96\x81 \n\0a\xc3\xa9", 9);
    for (int i = 0; i < 600; i++) {
        std::string text(random() % 200, ' ');
        const bool any = i % 2;
        for (char &c : text) c = any ? (char)random() : alphabet[random() % alphabet.size()];
        expect_round_trip(text);
    }
}

TEST_F(TokenizerTest, RoundTripsLongLines) {
    std::string text = sample_text(300000);
    for (char &c : text)
        if (c == '\n') c = ' ';
    expect_round_trip(text);
    expect_round_trip(std::string(200000, ' '));
}

TEST_F(TokenizerTest, NewlinesAndDigitsStandAlone) {
    EXPECT_EQ(encode(t(), "\n\n\n").size(), 3u);
    std::vector<int32_t> joined = encode(t(), "mill"), stone = encode(t(), "stone");
    joined.push_back(encode(t(), "\n")[0]);
    joined.insert(joined.end(), stone.begin(), stone.end());
    EXPECT_EQ(encode(t(), "mill\nstone"), joined);
    EXPECT_EQ(encode(t(), "1815").size(), 4u);
}

TEST_F(TokenizerTest, CutsAtLongLineDoNotChangeTheIds) {
    std::vector<int32_t> expected;
    std::string text;
    const std::vector<int32_t> word = encode(t(), " grinding");
    while (text.size() < 200000) {
        text += " grinding";
        expected.insert(expected.end(), word.begin(), word.end());
    }
    EXPECT_EQ(encode(t(), text), expected);
}

TEST_F(TokenizerTest, RefusesIdsOutsideTheVocabulary) {
    char *text;
    size_t length;
    for (int32_t id : {-1, 400, INT32_MAX})
        EXPECT_ERROR(qn_tokenizer_decode(t().get(), &id, 1, &text, &length), QN_CODE_INVALID,
                     std::to_string(id), "399");
    EXPECT_EQ(qn_tokenizer_token_bytes(t().get(), 400), 0);
}

TEST(TokenizerTraining, IsDeterministic) {
    const std::string text = sample_text(30000);
    TempDir dir;
    std::vector<std::string> models;
    for (int n_threads : {1, 2, 2}) {
        ASSERT_OK(qn_tokenizer_save(train(text, 420, n_threads).get(), dir.path().c_str()));
        models.push_back(TempDir::read(dir / "tokenizer.json"));
    }
    EXPECT_EQ(models[0], models[1]);
    EXPECT_EQ(models[1], models[2]);
}

TEST(TokenizerTraining, ExplainsWhatIsWrong) {
    qn_tokenizer *t;
    const std::string text = sample_text(2000);
    EXPECT_ERROR(qn_tokenizer_train(text.data(), text.size(), 4096, 1, &t), QN_CODE_USAGE, "4096",
                 "too large", "at most");
    EXPECT_ERROR(qn_tokenizer_train(text.data(), text.size(), 260, 1, &t), QN_CODE_USAGE, "260",
                 "too small", "at least");
    EXPECT_ERROR(qn_tokenizer_train(text.data(), text.size(), 0, 1, &t), QN_CODE_USAGE, "0");
    EXPECT_ERROR(qn_tokenizer_train("", 0, 300, 1, &t), QN_CODE_INVALID, "empty");
    EXPECT_ERROR(qn_tokenizer_train("ab\xff", 3, 300, 1, &t), QN_CODE_INVALID, "offset 2");
}

TEST(TokenizerTraining, SizesThatTheErrorsNameWork) {
    const std::string text = sample_text(2000);
    auto message = [&](int vocab_size) {
        qn_tokenizer *t = nullptr;
        qn_status status = qn_tokenizer_train(text.data(), text.size(), vocab_size, 1, &t);
        std::string found = qn_message(status);
        qn_status_free(status);
        qn_tokenizer_close(t);
        return found;
    };
    int smallest = 0, largest = 0;
    const std::string small = message(260), large = message(4096);
    ASSERT_EQ(sscanf(strstr(small.c_str(), "at least"), "at least %d", &smallest), 1) << small;
    ASSERT_EQ(sscanf(strstr(large.c_str(), "at most"), "at most %d", &largest), 1) << large;
    EXPECT_EQ(message(smallest), "");
    EXPECT_NE(message(smallest - 1), "");
    EXPECT_EQ(message(largest), "");
    EXPECT_NE(message(largest + 1), "");
}

class SavedTokenizer : public testing::Test {
  protected:
    void SetUp() override {
        original = train(sample_text(8000), 330);
        ASSERT_OK(qn_tokenizer_save(original.get(), dir.path().c_str()));
    }
    TempDir dir;
    Tokenizer original{nullptr, qn_tokenizer_close};
};

TEST_F(SavedTokenizer, OpensTheSame) {
    qn_tokenizer *opened = nullptr;
    ASSERT_OK(qn_tokenizer_open((dir / "tokenizer.model").c_str(), &opened));
    Tokenizer again(opened, qn_tokenizer_close);
    const std::string text = sample_text(3000, 2) + "\u2581\xff";
    EXPECT_EQ(encode(again, text), encode(original, text));
    EXPECT_EQ(qn_tokenizer_boundary_id(opened), qn_tokenizer_boundary_id(original.get()));
}

TEST_F(SavedTokenizer, ExportsEveryPieceAndOnlyMergesOfPieces) {
    json_error_t error;
    json_t *root = json_load_file((dir / "tokenizer.json").c_str(), 0, &error);
    ASSERT_TRUE(root) << error.text;
    json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    EXPECT_EQ(json_object_size(vocab), 330u);
    json_t *merges = json_object_get(model, "merges"), *merge;
    EXPECT_GT(json_array_size(merges), 20u);
    size_t i;
    json_array_foreach(merges, i, merge) {
        const std::string pair = json_string_value(merge);
        const size_t space = pair.find(' ');
        ASSERT_NE(space, std::string::npos);
        const std::string left = pair.substr(0, space), right = pair.substr(space + 1);
        for (const std::string &piece : {left, right, left + right})
            EXPECT_TRUE(json_object_get(vocab, piece.c_str())) << piece;
    }
    json_decref(root);
    root = json_load_file((dir / "tokenizer_config.json").c_str(), 0, &error);
    ASSERT_TRUE(root) << error.text;
    EXPECT_STREQ(json_string_value(json_object_get(root, "tokenizer_class")),
                 "PreTrainedTokenizerFast");
    json_decref(root);
}

TEST_F(SavedTokenizer, RefusesOtherFiles) {
    qn_tokenizer *t;
    EXPECT_ERROR(qn_tokenizer_open((dir / "none.model").c_str(), &t), QN_CODE_IO, "none.model");
    for (const char *bytes : {"", "not a model", "\x0a\xff\xff\xff\xff\x0f"})
        EXPECT_ERROR(qn_tokenizer_open(dir.write("bad.model", bytes).c_str(), &t), QN_CODE_INVALID,
                     "bad.model");
}

TEST_F(SavedTokenizer, DamagedModelsFailOrStillRoundTrip) {
    const std::string good = TempDir::read(dir / "tokenizer.model");
    const std::string text = sample_text(200, 3) + "\u2581 \xff\n12";
    std::mt19937 random(11);
    int opened = 0;
    for (int i = 0; i < 400; i++) {
        std::string bad = good;
        if (i % 4 == 0) bad.resize(random() % bad.size());
        for (size_t flips = 1 + random() % 3; flips > 0 && !bad.empty(); flips--)
            bad[random() % bad.size()] ^= (char)(1 << random() % 8);
        qn_tokenizer *t = nullptr;
        qn_status status = qn_tokenizer_open(dir.write("bad.model", bad).c_str(), &t);
        if (status) {
            EXPECT_STRNE(qn_message(status), "");
            qn_status_free(status);
            continue;
        }
        opened++;
        Tokenizer damaged(t, qn_tokenizer_close);
        ASSERT_EQ(decode(damaged, encode(damaged, text)), text);
        ASSERT_OK(qn_tokenizer_save(t, dir.path().c_str()));
    }
    EXPECT_GT(opened, 0);
    EXPECT_LT(opened, 400);
}

} // namespace
