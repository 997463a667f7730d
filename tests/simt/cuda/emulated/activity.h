// activity.h: the emulated CUPTI beside its API: how the emulated runtime reaches it, and what
// tests put into it.
#ifndef QUERN_TESTS_SIMT_CUDA_ACTIVITY_H
#define QUERN_TESTS_SIMT_CUDA_ACTIVITY_H

#include <cstddef>
#include <cstdint>

#include <cupti.h>

namespace simt {

// From now on it sees what is enqueued; what was recorded into graphs before runs unseen.
void load_cupti();

// The correlation of a call of the runtime that is made now.
uint32_t cupti_call();

// While it lives, what runs belongs to that call, which launched a graph.
class CuptiGraphRun {
  public:
    explicit CuptiGraphRun(uint32_t call);
    ~CuptiGraphRun();
    CuptiGraphRun(const CuptiGraphRun &) = delete;
    CuptiGraphRun &operator=(const CuptiGraphRun &) = delete;
};

// The clock of its records, ns.
uint64_t cupti_now();

// A record of a kernel that never ran. The name is used to the end of the program.
void add_cupti_kernel(const char *name, uint64_t begin, uint64_t end);

struct CuptiUse {
    int buffers;   // requested since the program began
    int held;      // of these, not completed
    int enabled;   // kinds of records
    size_t ranges; // pushed and not popped
};
CuptiUse cupti_use();

} // namespace simt

#endif
