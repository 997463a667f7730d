#include "simt/race.h"

#include "simt/device_heap.h"

namespace simt {

uint32_t new_agent(Block &block) { return block.n_agents++; }

void check_access(Thread &, const void *, size_t, Access, Site) {}
void check_copy(Thread &, Agent, const void *, size_t, Access, Site) {}
std::string race_reports() { return ""; }

} // namespace simt
