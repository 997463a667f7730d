// random.h: the scheduler's random numbers (xorshift64*, Vigna 2016).
#ifndef QUERN_TESTS_SIMT_RANDOM_H
#define QUERN_TESTS_SIMT_RANDOM_H

#include <cstddef>
#include <cstdint>

namespace simt {

class Random {
  public:
    Random() : Random(0) {}
    explicit Random(uint64_t seed) : state_((seed + 1) * 0x9e3779b97f4a7c15u) {}

    uint32_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (uint32_t)((state_ * 0x2545f4914f6cdd1du) >> 32);
    }
    size_t below(size_t n) { return (size_t)(((uint64_t)next() * n) >> 32); }
    bool one_in(uint32_t n) { return below(n) == 0; }
    bool with_probability(double p) { return next() < p * 4294967296.0; }

  private:
    uint64_t state_;
};

} // namespace simt

#endif
