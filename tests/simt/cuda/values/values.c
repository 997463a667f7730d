/* values.c: the values by the cublasLt.h that it is compiled with; VALUES names the table. */
#include "values.h"

#include <cublasLt.h>

#define VALUE(name) (long)name,
const long VALUES[] = {CUBLASLT_VALUES(VALUE)};
