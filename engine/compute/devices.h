/* devices.h - what the scheduler and tasks ask of devices and modules, besides the public calls. */
#ifndef MF_COMPUTE_DEVICES_H
#define MF_COMPUTE_DEVICES_H

#include <massflow/compute.h>

/* The devices that are not listed because their OpenCL is older than 1.2, or because their driver
 * does not compile; free *infos with free(). */
MF_MUST_USE mf_status mf_devices_refused(mf_device_info **infos, size_t *count);

/* Whether they are one device or parts of one: these have its memory together. */
bool mf_device_same_memory(const mf_device *a, const mf_device *b);

/* How many sources its driver has compiled in this process, where it is at it for longer than a
 * second; else 0. From any thread, and without waiting for the compiler. */
int mf_device_compiling(mf_device *device);

/* The same device in a context of its own, with the kernels for CPUs (plain) or those for GPUs. */
MF_MUST_USE mf_status mf_device_again(mf_device *device, bool plain, mf_device **other);

/* Whether the kernel's argument i points to elements of `dtype`, as far as the driver says it. */
MF_MUST_USE mf_status mf_module_check_array(const mf_module *module, const char *kernel, int i,
                                            mf_dtype dtype);

#endif
