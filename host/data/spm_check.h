/* spm_check.h: is a SentencePiece model one that quern can use losslessly? */
#ifndef QUERN_DATA_SPM_CHECK_H
#define QUERN_DATA_SPM_CHECK_H

#include <stddef.h>

#include "quern/status.h"

/* Reads a serialized model (sentencepiece_model.proto) as far as its settings: it must be
 * BPE, with spaces escaped and neither added nor removed, no normalisation tables (the
 * library follows offsets in them unchecked), and pieces that are normal, unknown,
 * control, byte, or the one user-defined piece "\n". */
qn_status qn_spm_check(const void *model, size_t length);

#endif
