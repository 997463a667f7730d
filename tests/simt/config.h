// config.h: how grids run: order, asynchronous work, shared memory; and what a launch throws.
#ifndef QUERN_TESTS_SIMT_CONFIG_H
#define QUERN_TESTS_SIMT_CONFIG_H

#include <cstdint>
#include <stdexcept>
#include <string>

namespace simt {

// When asynchronous work (cp.async, …) takes effect. Until then its destination holds NaNs.
enum class AsyncMode {
    kEager,  // as it is issued
    kLate,   // when it is waited for, or when no thread can run; oldest first
    kRandom, // at random moments, in random order; at the latest when it is waited for
    kLatest, // like kLate, but newest first wherever the order is not promised
};

struct Config {
    uint64_t seed = 0; // 0: first come, first served; others: random order
    AsyncMode async = AsyncMode::kLate;
    uint32_t shared_skew = 0; // bytes by which dynamic shared memory is moved; a multiple of 16
    uint32_t shared_limit = 227 * 1024; // bytes of shared memory, static and dynamic, a block
    int resident_blocks = 2;            // that run at the same time
    double preemption = 0;              // probability at a memory access (race build only)
    bool race = true;                   // the race detector (race build only)
    int max_reports = 8;                // of races, a launch
    bool has_code = true;               // this build's kernels run on the device
};

// The settings of the launches that follow. At first the defaults above, changed by the
// environment: QN_SIMT_SEED, QN_SIMT_ASYNC (eager, late, random, latest), QN_SIMT_SKEW,
// QN_SIMT_RESIDENT, QN_SIMT_PREEMPTION, QN_SIMT_RACE (0 or 1).
Config &config();

// "seed 3, async late, …", in the environment's terms.
std::string describe(const Config &config);

// Puts the settings back at the end of a scope.
class ScopedConfig {
  public:
    ScopedConfig() : saved_(config()) {}
    ~ScopedConfig() { config() = saved_; }
    ScopedConfig(const ScopedConfig &) = delete;
    ScopedConfig &operator=(const ScopedConfig &) = delete;

  private:
    Config saved_;
};

// What a launch throws: what() says what went wrong, where, in which thread, and the settings.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Which of the three builds this is. What is compiled once for all of them cannot ask.
#ifndef SIMT_ANY_BUILD
#ifdef SIMT_RACE
constexpr bool kRaceBuild = true;
#else
constexpr bool kRaceBuild = false;
#endif
#ifdef __SANITIZE_ADDRESS__
constexpr bool kAsanBuild = true;
#else
constexpr bool kAsanBuild = false;
#endif
#endif

} // namespace simt

#endif
