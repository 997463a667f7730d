// random.h: reproducible numbers for tests.
#ifndef QUERN_TESTS_RANDOM_H
#define QUERN_TESTS_RANDOM_H

#include <cstdint>
#include <random>
#include <vector>

namespace harness {

class Random {
  public:
    explicit Random(uint32_t seed) : engine(seed) {}

    std::vector<float> normal(size_t n, float spread = 1, float mean = 0) {
        std::normal_distribution<float> draw(mean, spread);
        std::vector<float> x(n);
        for (float &value : x) value = draw(engine);
        return x;
    }
    // In [low, high).
    std::vector<int32_t> integers(size_t n, int32_t low, int32_t high) {
        std::uniform_int_distribution<int32_t> draw(low, high - 1);
        std::vector<int32_t> x(n);
        for (int32_t &value : x) value = draw(engine);
        return x;
    }

  private:
    std::mt19937 engine;
};

} // namespace harness

#endif
