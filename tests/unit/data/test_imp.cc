#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "data/corpus.h"
#include "data/imp.h"
#include "harness/status.h"
#include "harness/temp_dir.h"

namespace {

std::string strip(std::string text) {
    text.resize(qn_imp_strip(text.data(), text.size()));
    return text;
}

TEST(ImpStrip, RemovesMarkup) {
    EXPECT_EQ(strip("In the <w lemma=\"strong:H7225\">beginning</w> <w>God</w>."),
              "In the beginning God.");
    EXPECT_EQ(strip("<div sID=\"a\"/> <title>Head</title><div/> Body<lb/>more"),
              "Head\nBody\nmore");
    EXPECT_EQ(strip("gods?<note n=\"1\"><reference>15.11 </reference>or, <hi>x</hi></note> who"),
              "gods? who");
    EXPECT_EQ(strip("a<note n=\"2\"/>b"), "ab");
    EXPECT_EQ(strip("a<note>lost"), "a");
    EXPECT_EQ(strip("<row><cell>1</cell><cell>2</cell></row>"), "1 2");
    EXPECT_EQ(strip("cut <hi"), "cut");
    EXPECT_EQ(strip("1 < 2 <3"), "1 < 2 <3");
    EXPECT_EQ(strip("  a \t b  \r"), "a b");
    EXPECT_EQ(strip("<p/><p/>"), "");
}

TEST(ImpStrip, ReplacesEntities) {
    EXPECT_EQ(strip("&amp;&lt;&gt;&quot;&apos;"), "&<>\"'");
    EXPECT_EQ(strip("&#8220;a&#x2019;&#x1F389;&#233;"), "“a’🎉é");
    EXPECT_EQ(strip("&amp;lt;"), "&lt;");
    for (const char *kept : {"AT&T", "&unknown;", "&#xD800;", "&#0;", "&#99999999;", "&#-5;", "&;"})
        EXPECT_EQ(strip(kept), kept);
}

TEST(ImpStrip, NeverCrashesOrGrows) {
    const std::string alphabet = "<>/&#;xnote12 ap\n";
    std::mt19937 random(9);
    for (int i = 0; i < 20000; i++) {
        std::string text(random() % 60, ' ');
        for (char &c : text) c = alphabet[random() % alphabet.size()];
        ASSERT_LE(strip(text).size(), text.size());
    }
}

std::vector<std::string> load(const std::string &imp) {
    TempDir dir;
    qn_corpus corpus = {};
    EXPECT_OK(qn_imp_load(&corpus, dir.write("m.imp", imp).c_str()));
    std::vector<std::string> documents;
    for (size_t i = 0; i < corpus.n_documents; i++)
        documents.emplace_back(corpus.text + corpus.documents[i].start, corpus.documents[i].length);
    qn_corpus_free(&corpus);
    return documents;
}

TEST(Imp, MakesADocumentABook) {
    EXPECT_EQ(load("$$$[ Module Heading ]\n<milestone/>about\n$$$I Samuel 0:0\n\n"
                   "$$$I Samuel 1:1\nNow there <w>was</w>\n$$$I Samuel 1:2\nAnd he\n"
                   "$$$Ruth 1:1\nIn the days\n"),
              (std::vector<std::string>{"Now there was\nAnd he", "In the days"}));
}

TEST(Imp, MakesADocumentAnEntryUnderItsHeadword) {
    EXPECT_EQ(load("$$$AARON\n<def> <lb/>Lineage of</def>\n$$$ABEL 2\n<def>A place</def>\n"),
              (std::vector<std::string>{"AARON\nLineage of", "ABEL 2\nA place"}));
}

TEST(Imp, DropsRepeatedParagraphs) {
    EXPECT_EQ(load("$$$Job 1:1\n<p/>Outline<p/>On 1-3\n$$$Job 1:2\n<p/>Outline<p/>On  1-3\n"
                   "$$$Ruth 1:1\n<p/>Outline<p/>On 4\n"),
              (std::vector<std::string>{"Outline\nOn 1-3", "On 4"}));
}

TEST(Imp, RemembersManyParagraphs) {
    std::string imp;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++)
            imp += "$$$Job 1:" + std::to_string(i) + "\nverse " + std::to_string(i) + "\n";
    const std::vector<std::string> documents = load(imp);
    ASSERT_EQ(documents.size(), 1u);
    EXPECT_EQ(std::count(documents[0].begin(), documents[0].end(), '\n'), 4999);
}

TEST(Imp, RefusesOtherFiles) {
    TempDir dir;
    qn_corpus corpus = {};
    EXPECT_ERROR(qn_imp_load(&corpus, dir.write("m.imp", "hello\n").c_str()), QN_CODE_INVALID,
                 "m.imp", "$$$");
    EXPECT_ERROR(qn_imp_load(&corpus, dir.write("m.imp", "$$$A\n\xff\n").c_str()), QN_CODE_INVALID,
                 "m.imp", "UTF-8");
    EXPECT_ERROR(qn_imp_load(&corpus, (dir / "none").c_str()), QN_CODE_IO, "none");
    qn_corpus_free(&corpus);
}

} // namespace
