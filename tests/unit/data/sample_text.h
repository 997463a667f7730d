/* sample_text.h: English enough to learn a few hundred pieces from. */
#ifndef QUERN_TESTS_SAMPLE_TEXT_H
#define QUERN_TESTS_SAMPLE_TEXT_H

#include <random>
#include <string>

inline std::string sample_text(size_t bytes, unsigned seed = 1) {
    static const char *const words[] = {
        "grinding", "a",       "mill",   "the",   "stone",  "turned", "slowly",
        "while",    "flour",   "fell",   "under", "wheels", "and",    "she",
        "carried",  "sacks",   "across", "the",   "river",  "before", "morning",
        "of",       "October", "1815",   "Emma",  "said",   "nothing"};
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < bytes) {
        text += words[random() % (sizeof words / sizeof *words)];
        text += random() % 9 ? " " : ".\n";
    }
    return text;
}

#endif
