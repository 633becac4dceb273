/* first_use.h - a device is checked before a run first uses it with its driver.
 *
 * The check runs in a process of its own (`massflow first-use DEVICE`), because a driver that is
 * wrong may also crash, and because nothing may be forked once a driver is loaded. */
#ifndef MASSFLOW_EMBED_FIRST_USE_H
#define MASSFLOW_EMBED_FIRST_USE_H

#include "run/task/host.h"

#define MF_FIRST_USE_TEXT 1024 /* bytes of what is said of one form of the kernels */

/* A line for people. */
typedef void (*mf_first_use_say)(void *self, const char *text);
/* Opens the devices of a run and checks them by the host's program, each once for its driver and
 * these kernels: docs/devices.md. One whose own form of the kernels is wrong gets the other form,
 * and a line says so; where both are wrong that is the error. */
MF_MUST_USE mf_status mf_first_use(mf_host *host, mf_first_use_say say, void *self);

#endif
