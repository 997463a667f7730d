#include "quern/version.h"

#include "quern_commit.h"

const char *qn_commit(void) { return QN_COMMIT; }
