/* values.c: the values by the headers that it is compiled with; VALUES names the table. */
#include "values.h"

#include <cublasLt.h>
#ifdef WITH_CUPTI
#include <cupti.h>
#endif

#define VALUE(name) (long)name,
const long VALUES[] = {ALL_VALUES(VALUE)};
