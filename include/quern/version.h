/* version.h: which quern this is. */
#ifndef QUERN_VERSION_H
#define QUERN_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* The commit that was built, 12 hexadecimal digits, with "-dirty" behind it where sources differed
 * from it; "unknown" for sources outside a repository. Static. */
const char *qn_commit(void);

#ifdef __cplusplus
}
#endif

#endif
