/* shard_file.h: token shards as bytes, written independently of the code under test. */
#ifndef QUERN_TESTS_SHARD_FILE_H
#define QUERN_TESTS_SHARD_FILE_H

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

inline std::string shard_header(int32_t magic, int32_t version, int32_t count) {
    std::string bytes(1024, '\0');
    const int32_t words[3] = {magic, version, count};
    memcpy(bytes.data(), words, sizeof words);
    return bytes;
}

inline std::string gpt2_shard(const std::vector<int> &tokens) {
    std::string bytes = shard_header(20240520, 1, (int32_t)tokens.size());
    for (int token : tokens) {
        bytes += (char)(token & 0xFF);
        bytes += (char)(token >> 8);
    }
    return bytes;
}

inline std::string llama3_shard(const std::vector<int> &tokens) {
    std::string bytes = shard_header(20240801, 7, (int32_t)tokens.size());
    for (int token : tokens)
        for (int shift = 0; shift < 32; shift += 8) bytes += (char)(token >> shift & 0xFF);
    return bytes;
}

#endif
