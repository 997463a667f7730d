// hopper.h: compute capability 9.0: mbarriers, bulk copies, wgmma.
#ifndef QUERN_TESTS_SIMT_HOPPER_H
#define QUERN_TESTS_SIMT_HOPPER_H

#include "simt/bulk.h"
#include "simt/mbarrier.h"
#include "simt/tensor_map.h"
#include "simt/tma.h"
#include "simt/warpgroup.h"
#include "simt/wgmma.h"

#endif
