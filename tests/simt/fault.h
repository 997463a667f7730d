// fault.h: a kernel's access to memory that does not exist (the guards of device memory and of
// stacks, null) ends the launch with an Error. Under AddressSanitizer that reports it instead.
#ifndef QUERN_TESTS_SIMT_FAULT_H
#define QUERN_TESTS_SIMT_FAULT_H

namespace simt {

void catch_faults();
void release_faults(); // puts the handler back that was there

} // namespace simt

#endif
