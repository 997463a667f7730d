/* nvToolsExt.h: the part of NVTX that the backend calls. */
#ifndef QUERN_TESTS_SIMT_NVTOOLSEXT_H
#define QUERN_TESTS_SIMT_NVTOOLSEXT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Both give the depth of the range, from 0; a pop without a push gives less. */
int nvtxRangePushA(const char *name);
int nvtxRangePop(void);

#ifdef __cplusplus
}
#endif
#endif
