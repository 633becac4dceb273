/* first_use.h - a device is checked before a run first uses it with its driver. */
#ifndef MF_FIRST_USE_H
#define MF_FIRST_USE_H

#include "run/schedule/executor.h"

/* Opens the devices of a run and checks them, each once for its driver and these kernels:
 * docs/devices.md. One whose own form of the kernels is wrong gets the other form, and a line on
 * stderr says so; where both are wrong that is the error. */
MF_MUST_USE mf_status first_use(mf_host *host);

#endif
