// any_build.cc: does not compile where SIMT_ANY_BUILD is defined, as it is for objects that each
// build links: the first build's answers would be wrong in the others.
#include "simt/config.h"

static_assert(simt::kRaceBuild || !simt::kRaceBuild);
static_assert(simt::kAsanBuild || !simt::kAsanBuild);
