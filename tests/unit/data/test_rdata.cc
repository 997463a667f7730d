#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

#include "data/corpus.h"
#include "data/rdata.h"
#include "harness/status.h"

namespace {

std::string big_endian(uint32_t x) {
    return {(char)(x >> 24), (char)(x >> 16), (char)(x >> 8), (char)x};
}

std::string header(uint32_t version = 3) {
    std::string s = "X\n" + big_endian(version) + big_endian(0x40201) + big_endian(0x30500);
    return version == 3 ? s + big_endian(5) + "UTF-8" : s;
}

std::string vector_of(const std::vector<std::string> &lines) {
    std::string s = big_endian(16) + big_endian((uint32_t)lines.size());
    for (const std::string &line : lines)
        s += big_endian(0x40009) + big_endian((uint32_t)line.size()) + line;
    return s;
}

std::string stream(const std::string &raw) {
    uLongf length = compressBound(raw.size());
    std::string z(length, '\0');
    compress((Bytef *)z.data(), &length, (const Bytef *)raw.data(), raw.size());
    z.resize(length);
    return big_endian((uint32_t)raw.size()) + z;
}

struct Loaded {
    qn_corpus corpus = {};
    explicit Loaded(const std::string &data) {
        status = qn_rdata_load(&corpus, "x.rdb", data.data(), data.size());
    }
    ~Loaded() { qn_corpus_free(&corpus); }
    std::string document(size_t i) const {
        return {corpus.text + corpus.documents[i].start, corpus.documents[i].length};
    }
    qn_status status;
};

TEST(Rdata, JoinsTheLinesOfEachVector) {
    Loaded l(stream(header() + vector_of({"EMMA", "", "by “Jane”"})) +
             stream(header(2) + vector_of({"one"})));
    ASSERT_OK(l.status);
    ASSERT_EQ(l.corpus.n_documents, 2u);
    EXPECT_EQ(l.document(0), "EMMA\n\nby “Jane”");
    EXPECT_EQ(l.document(1), "one");
}

void expect_bad(const std::string &data, const std::string &part) {
    EXPECT_ERROR(Loaded(data).status, QN_CODE_INVALID, "x.rdb", part);
}

TEST(Rdata, RefusesHostileStreams) {
    const std::string good = header() + vector_of({"a", "b"});
    expect_bad("abc", "truncated");
    expect_bad(big_endian(0) + "x", "does not fit the file");
    expect_bad(big_endian(0xFFFFFFFF) + "x", "does not fit the file");
    expect_bad(big_endian(20) + "not zlib", "zlib");
    const std::string z = stream(good);
    expect_bad(z.substr(0, z.size() - 1), "zlib");
    expect_bad(big_endian((uint32_t)good.size() + 1) + z.substr(4), "zlib");
    expect_bad(big_endian((uint32_t)good.size() - 1) + z.substr(4), "zlib");
    expect_bad(z + "junk", "stream 1");
    expect_bad(stream("Y\n"), "begin");
    expect_bad(stream(header(9)), "version");
    expect_bad(stream(header().substr(0, 12)), "truncated");
    expect_bad(stream(good + "x"), "after its end");
    expect_bad(stream(header() + big_endian(13) + big_endian(1) + big_endian(1)), "STRSXP");
    for (uint32_t count : {0xFFFFFFFFu, 0x7FFFFFFFu, 3u})
        expect_bad(stream(header() + big_endian(16) + big_endian(count) + big_endian(9)),
                   "number of strings");
    const std::string one = header() + big_endian(16) + big_endian(1);
    expect_bad(stream(one + big_endian(10) + big_endian(0)), "CHARSXP");
    expect_bad(stream(one + big_endian(9) + big_endian(0xFFFFFFFF)), "missing");
    expect_bad(stream(one + big_endian(9) + big_endian(0x7FFFFFFF)), "truncated");
    expect_bad(stream(one + big_endian(9) + big_endian(1) + "\xff"), "offset 0");
}

TEST(Rdata, DamagedFilesNeverCrash) {
    const std::string raw = header() + vector_of({"some", "lines", "of", "text", ""});
    std::mt19937 random(5);
    for (int i = 0; i < 3000; i++) {
        std::string bad = i % 2 ? raw : stream(raw);
        bad[random() % bad.size()] ^= (char)(1 << random() % 8);
        if (i % 5 == 0) bad.resize(random() % bad.size());
        Loaded l(i % 2 ? stream(bad) : bad);
        EXPECT_EQ(l.status == nullptr, *qn_message(l.status) == 0);
        qn_status_free(l.status);
    }
}

} // namespace
