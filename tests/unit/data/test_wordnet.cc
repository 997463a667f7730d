// test_wordnet.cc: relations of a small WordNet whose files are written here, and of the real one.
#include "quern/wordnet.h"

#include <cstring>
#include <map>
#include <set>

#include "harness/status.h"
#include "harness/temp_dir.h"

namespace {

using Pairs = std::set<std::pair<std::string, std::string>>;

// Files of WordNet: synsets are laid out one after the other, and pointers to them filled in.
class SmallWordnet {
  public:
    explicit SmallWordnet(const TempDir &dir) : dir(dir) {
        for (const char *part : {"noun", "verb", "adj", "adv"}) data[part] = index[part] = kLicence;
    }
    // `words` as in data.*, e.g. "big 0 large 0"; `pointers` after p_cnt, e.g. " ! 00000123 a
    // 0101".
    size_t synset(const std::string &part, int n_words, const std::string &words,
                  int n_pointers = 0, const std::string &pointers = "") {
        const size_t offset = data[part].size();
        char head[64], count[16];
        snprintf(head, sizeof head, "%08zu 00 %c %02x ", offset, part[0], n_words);
        snprintf(count, sizeof count, " %03d", n_pointers);
        data[part] += head + words + count + pointers + " | a gloss; \"of it\"  \n";
        return offset;
    }
    void lemma(const std::string &part, const std::string &word, int counted,
               const std::vector<size_t> &senses) {
        const std::string n = std::to_string(senses.size());
        index[part] +=
            word + " " + part[0] + " " + n + " 2 ! & " + n + " " + std::to_string(counted);
        for (size_t offset : senses) {
            char text[16];
            snprintf(text, sizeof text, " %08zu", offset);
            index[part] += text;
        }
        index[part] += "  \n";
    }
    void write() {
        for (const auto &[part, text] : data) dir.write("data." + part, text);
        for (const auto &[part, text] : index) dir.write("index." + part, text);
    }

    static constexpr const char *kLicence = "  1 This software and database\n  2 is provided\n";
    const TempDir &dir;
    std::map<std::string, std::string> data, index;
};

struct Relations {
    Pairs synonyms, antonyms;
    std::vector<qn_word_pair> in_order;
};

Pairs named(const std::vector<const char *> &words, qn_word_pairs *pairs) {
    Pairs out;
    for (int64_t i = 0; i < pairs->count; i++) {
        const qn_word_pair p = pairs->items[i];
        EXPECT_LT(p.a, p.b);
        const std::string a = words[p.a], b = words[p.b];
        EXPECT_TRUE(out.insert({std::min(a, b), std::max(a, b)}).second) << a << ", " << b;
    }
    return out;
}

Relations relations(const std::string &dir, const std::vector<const char *> &words) {
    qn_word_pairs synonyms = {}, antonyms = {};
    Relations out;
    EXPECT_OK(
        qn_wordnet_pairs(dir.c_str(), words.data(), (int64_t)words.size(), &synonyms, &antonyms));
    out.in_order.assign(synonyms.items, synonyms.items + synonyms.count);
    out.synonyms = named(words, &synonyms);
    out.antonyms = named(words, &antonyms);
    qn_word_pairs_free(&synonyms);
    qn_word_pairs_free(&antonyms);
    return out;
}

qn_status refusal(const std::string &dir, const std::vector<const char *> &words) {
    qn_word_pairs synonyms = {}, antonyms = {};
    return qn_wordnet_pairs(dir.c_str(), words.data(), (int64_t)words.size(), &synonyms, &antonyms);
}

class Wordnet : public testing::Test {
  protected:
    Wordnet() : net(dir) {}
    Relations related(const std::vector<const char *> &words) {
        net.write();
        return relations(dir.path(), words);
    }
    TempDir dir;
    SmallWordnet net;
};

TEST_F(Wordnet, SynonymsShareTheirFirstSense) {
    const size_t car = net.synset("noun", 3, "car 0 auto 0 motor_car 0");
    const size_t rail = net.synset("noun", 2, "car 1 carriage 0");
    net.lemma("noun", "auto", 1, {car});
    net.lemma("noun", "car", 2, {car, rail});
    net.lemma("noun", "carriage", 1, {rail});
    net.lemma("noun", "motor_car", 1, {car});
    EXPECT_EQ(related({"carriage", "car", "auto"}).synonyms, (Pairs{{"auto", "car"}}));
}

TEST_F(Wordnet, OfSensesThatWereNeverCountedNoneIsFirst) {
    const size_t sky = net.synset("verb", 2, "toss 0 sky 0");
    net.lemma("verb", "sky", 0, {sky});
    net.lemma("verb", "toss", 3, {sky});
    EXPECT_EQ(related({"sky", "toss"}).synonyms, Pairs{});
}

TEST_F(Wordnet, PairsAreSortedAndThereOnce) {
    const size_t noun = net.synset("noun", 3, "gift 0 present 0 boon 0");
    const size_t verb = net.synset("verb", 2, "gift 0 present 0");
    for (const char *word : {"boon", "gift", "present"}) net.lemma("noun", word, 1, {noun});
    for (const char *word : {"gift", "present"}) net.lemma("verb", word, 1, {verb});
    const std::vector<qn_word_pair> found = related({"present", "boon", "gift"}).in_order;
    ASSERT_EQ(found.size(), 3u);
    const int expected[3][2] = {{0, 1}, {0, 2}, {1, 2}};
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(found[i].a, expected[i][0]);
        EXPECT_EQ(found[i].b, expected[i][1]);
    }
}

TEST_F(Wordnet, NamesAreNoWords) {
    const size_t china = net.synset("noun", 2, "China 0 cathay 0");
    net.lemma("noun", "cathay", 1, {china});
    net.lemma("noun", "china", 1, {china});
    EXPECT_EQ(related({"cathay", "china"}).synonyms, Pairs{});
}

// "!" goes from one word of a synset to one of another, and not between the others; markers of
// adjectives are no part of a word.
TEST_F(Wordnet, AntonymsAreOfWordsNotOfSynsets) {
    const size_t big = net.synset("adj", 2, "big(p) 0 large 0", 1, " ! 00000000 a 0102");
    const size_t tiny = net.synset("adj", 2, "tiny 0 little(a) 0");
    char target[16];
    snprintf(target, sizeof target, "%08zu", tiny);
    std::string &data = net.data["adj"];
    data.replace(data.find("! 00000000") + 2, 8, target);
    net.lemma("adj", "big", 1, {big});
    net.lemma("adj", "large", 1, {big});
    net.lemma("adj", "little", 1, {tiny});
    net.lemma("adj", "tiny", 1, {tiny});
    const Relations found = related({"big", "large", "little", "tiny"});
    EXPECT_EQ(found.antonyms, (Pairs{{"big", "little"}}));
    EXPECT_EQ(found.synonyms, (Pairs{{"big", "large"}, {"little", "tiny"}}));
}

TEST_F(Wordnet, PairsOfOneStemAreLeftOut) {
    const std::vector<const char *> words = {"decide",  "decision", "control",
                                             "contain", "able",     "unable"};
    std::string all;
    for (const char *word : words) all += std::string(all.empty() ? "" : " ") + word + " 0";
    const size_t set = net.synset("noun", 6, all);
    for (const char *word : words) net.lemma("noun", word, 1, {set});
    const Pairs found = related(words).synonyms;
    EXPECT_EQ(found.size(), 15u - 2);
    EXPECT_FALSE(found.count({"decide", "decision"}));
    EXPECT_FALSE(found.count({"able", "unable"}));
    EXPECT_TRUE(found.count({"contain", "control"}));
}

TEST_F(Wordnet, WhatIsBothIsNeither) {
    const size_t at = net.data["verb"].size();
    char self[64];
    snprintf(self, sizeof self, " ! %08zu v 0102", at);
    net.synset("verb", 2, "dust 0 powder 0", 1, self);
    net.lemma("verb", "dust", 1, {at});
    net.lemma("verb", "powder", 1, {at});
    const Relations found = related({"dust", "powder"});
    EXPECT_EQ(found.synonyms, Pairs{});
    EXPECT_EQ(found.antonyms, Pairs{});
}

TEST_F(Wordnet, NoWordsHaveNoPairs) { EXPECT_EQ(related({}).synonyms, Pairs{}); }

TEST_F(Wordnet, MissingFilesNameTheRemedy) {
    EXPECT_ERROR(refusal(dir / "nowhere", {"car"}), QN_CODE_IO, "nowhere/index.noun",
                 "wordnet-base", "leave the probe");
    net.write();
    std::filesystem::remove(dir / "data.adv");
    EXPECT_ERROR(refusal(dir.path(), {"car"}), QN_CODE_IO, "data.adv", "wordnet-base");
}

TEST_F(Wordnet, DamageIsFoundWhereItIs) {
    const size_t car = net.synset("noun", 2, "car 0 auto 0");
    net.lemma("noun", "auto", 1, {car});
    net.lemma("noun", "car", 1, {car});
    const std::map<std::string, std::string> data = net.data, index = net.index;
    const struct {
        const char *file, *from, *to, *where;
    } all[] = {
        {"index", "auto n 1", "auto n x", "index.noun:3:"},
        {"index", "car n 1", "car n 2", "index.noun:4:"},
        {"index", "car n 1 2", "car n 1 999999999", "index.noun:4:"},
        {"index", "auto n 1 2 ! & 1 1 0000", "auto n 1 2 ! & 1 1 7777", "data.noun"},
        {"data", " n 02 car", " n 09 car", "data.noun:3:"},
        {"data", " 000 |", " 100 |", "data.noun:3:"},
        {"data", "00 n 02", "zz\n", "data.noun:3:"},
        {"data", "000000", "111111", "data.noun:3:"},
    };
    for (const auto &damage : all) {
        net.data = data;
        net.index = index;
        std::string &text = (std::string(damage.file) == "data" ? net.data : net.index)["noun"];
        const size_t at = text.find(damage.from);
        ASSERT_NE(at, std::string::npos) << damage.from;
        text.replace(at, strlen(damage.from), damage.to);
        net.write();
        EXPECT_ERROR(refusal(dir.path(), {"car", "auto"}), QN_CODE_INVALID, damage.where,
                     "wordnet-base")
            << damage.to;
    }
}

// A byte of 0 ends no word.
TEST_F(Wordnet, BytesOfZeroArePartOfAWord) {
    const size_t car = net.synset("noun", 2, "car 0 auto 0");
    net.lemma("noun", "auto", 1, {car});
    net.lemma("noun", std::string("car\0wheels", 10), 1, {car});
    EXPECT_EQ(related({"car", "auto"}).synonyms, Pairs{});
}

// Files that end anywhere give pairs or an error, never a crash.
TEST_F(Wordnet, TruncatedFilesAreErrors) {
    const size_t car = net.synset("noun", 2, "car 0 auto 0");
    net.lemma("noun", "auto", 1, {car});
    net.lemma("noun", "car", 1, {car});
    net.write();
    for (const char *name : {"index.noun", "data.noun"}) {
        const std::string whole = TempDir::read(dir / name);
        for (size_t n = strlen(SmallWordnet::kLicence) + 1; n < whole.size(); n++) {
            dir.write(name, whole.substr(0, n));
            if (n > 0 && whole[n - 1] == '\n') continue;
            EXPECT_ERROR(refusal(dir.path(), {"car", "auto"}), QN_CODE_INVALID, name);
        }
        dir.write(name, whole);
    }
}

TEST(RealWordnet, KnowsCommonWords) {
    const char *dir = "/usr/share/wordnet";
    if (!std::filesystem::exists(std::string(dir) + "/data.noun"))
        GTEST_SKIP() << "no WordNet here: Debian's wordnet-base";
    const Relations found = relations(dir, {"buy", "purchase", "hot", "cold", "even", "yet", "able",
                                            "unable", "begin", "start", "alive", "dead", "car",
                                            "auto", "happy", "glad", "easy", "difficult"});
    EXPECT_EQ(found.synonyms, (Pairs{{"auto", "car"}, {"begin", "start"}, {"buy", "purchase"}}));
    EXPECT_EQ(found.antonyms, (Pairs{{"alive", "dead"}, {"cold", "hot"}, {"difficult", "easy"}}));
}

} // namespace
