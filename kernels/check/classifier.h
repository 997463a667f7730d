/* classifier.h: is a call of the classifier what ops.h says? The same for every backend, but for
 * the dtype that it stores. */
#ifndef QUERN_CHECK_CLASSIFIER_H
#define QUERN_CHECK_CLASSIFIER_H

#include "quern/ops.h"

/* Everything but the values of the targets and the workspace. */
qn_status qn_check_classifier(const qn_classifier_args *, qn_dtype storage);

#endif
