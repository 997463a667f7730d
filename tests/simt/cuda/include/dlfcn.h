/* dlfcn.h: what the backend opens at run time is the emulated cuBLASLt or CUPTI of this program. */
#ifndef QUERN_TESTS_SIMT_DLFCN_H
#define QUERN_TESTS_SIMT_DLFCN_H

#ifdef __cplusplus
extern "C" {
#endif

enum { RTLD_LOCAL = 0, RTLD_NOW = 2, RTLD_NODELETE = 0x1000 };

#define dlopen simt_dlopen
#define dlsym simt_dlsym
#define dlclose simt_dlclose
#define dlerror simt_dlerror

void *dlopen(const char *name, int flags);
void *dlsym(void *library, const char *name);
int dlclose(void *library);
char *dlerror(void);

#ifdef __cplusplus
}
#endif
#endif
