/* limits.c - preloaded into a program, makes its OpenCL devices look smaller than they are, and
 * refuses what a device of that kind would refuse. Numbers in the environment; what is not set is
 * not limited:
 *
 *   MASSFLOW_LIMIT_MEMORY      bytes of global memory; buffers that together take more are refused
 *   MASSFLOW_LIMIT_ALLOCATION  bytes of one buffer
 *   MASSFLOW_LIMIT_LOCAL       bytes of local memory of a group
 *   MASSFLOW_LIMIT_GROUP       work-items of a group: a program with a kernel that wants more does
 *                              not build, a launch of more is refused
 *   MASSFLOW_LIMIT_KERNEL      work-items of a group, as each kernel says: larger groups of a
 * kernel that states no size of its own are refused, the others run MASSFLOW_LIMIT_STATED
 * work-items of a group: larger ones are refused of all kernels, which say nothing of it
 *   MASSFLOW_LIMIT_MULTIPLE    the width of sub-groups, as the preferred multiple of a group's size
 *   MASSFLOW_LIMIT_ALIGNMENT   bytes: offsets of sub-buffers are multiples of it
 *
 * A build with an option that gives up exactness (-cl-fast-relaxed-math and its parts) is refused.
 * MASSFLOW_LIMIT_LOG names a file to which each refusal is appended. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* 0: not limited */
static size_t limit(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static void say(const char *format, ...)
{
    const char *path = getenv("MASSFLOW_LIMIT_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    va_list args;

    if (!file)
        return;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fputc('\n', file);
    fclose(file);
}

/* ---- what a device says of itself -------------------------------------------------------------
 */

static size_t smaller(size_t value, const char *name)
{
    size_t most = limit(name);
    return most && most < value ? most : value;
}

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t size, void *value,
                       size_t *got)
{
    REAL(clGetDeviceInfo);
    cl_int code = real(device, what, size, value, got);

    if (code || !value)
        return code;
    switch (what) {
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        *(cl_ulong *)value = smaller(*(cl_ulong *)value, "MASSFLOW_LIMIT_MEMORY");
        break;
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        *(cl_ulong *)value = smaller(*(cl_ulong *)value, "MASSFLOW_LIMIT_ALLOCATION");
        break;
    case CL_DEVICE_LOCAL_MEM_SIZE:
        *(cl_ulong *)value = smaller(*(cl_ulong *)value, "MASSFLOW_LIMIT_LOCAL");
        break;
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        *(size_t *)value = smaller(*(size_t *)value, "MASSFLOW_LIMIT_GROUP");
        break;
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
        if (limit("MASSFLOW_LIMIT_ALIGNMENT"))
            *(cl_uint *)value = 8 * (cl_uint)limit("MASSFLOW_LIMIT_ALIGNMENT");
        break;
    }
    return code;
}

cl_int clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                cl_kernel_work_group_info what, size_t size, void *value,
                                size_t *got)
{
    REAL(clGetKernelWorkGroupInfo);
    cl_int code = real(kernel, device, what, size, value, got);

    if (code || !value)
        return code;
    if (what == CL_KERNEL_WORK_GROUP_SIZE) {
        *(size_t *)value = smaller(*(size_t *)value, "MASSFLOW_LIMIT_GROUP");
        *(size_t *)value = smaller(*(size_t *)value, "MASSFLOW_LIMIT_KERNEL");
    }
    if (what == CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE && limit("MASSFLOW_LIMIT_MULTIPLE"))
        *(size_t *)value = limit("MASSFLOW_LIMIT_MULTIPLE");
    return code;
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static atomic_size_t held; /* bytes of all buffers but those in host memory */

static void CL_CALLBACK forget(cl_mem mem, void *bytes)
{
    (void)mem;
    atomic_fetch_sub(&held, (size_t)bytes);
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host,
                      cl_int *code)
{
    REAL(clCreateBuffer);
    size_t most = limit("MASSFLOW_LIMIT_ALLOCATION"), memory = limit("MASSFLOW_LIMIT_MEMORY");
    size_t counted = flags & CL_MEM_USE_HOST_PTR ? 0 : bytes;

    if (most && bytes > most) {
        say("buffer of %zu bytes, where %zu are allocated at once", bytes, most);
        if (code)
            *code = CL_INVALID_BUFFER_SIZE;
        return NULL;
    }
    if (memory && atomic_fetch_add(&held, counted) + counted > memory) {
        say("buffer of %zu bytes beyond a memory of %zu", bytes, memory);
        atomic_fetch_sub(&held, counted);
        if (code)
            *code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        return NULL;
    }
    cl_mem mem = real(context, flags, bytes, host, code);
    if (memory && !mem)
        atomic_fetch_sub(&held, counted);
    if (memory && mem)
        clSetMemObjectDestructorCallback(mem, forget, (void *)counted);
    return mem;
}

cl_mem clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type,
                         const void *info, cl_int *code)
{
    REAL(clCreateSubBuffer);
    const cl_buffer_region *region = info;
    size_t multiple = limit("MASSFLOW_LIMIT_ALIGNMENT");

    if (multiple && region->origin % multiple) {
        say("sub-buffer at %zu, no multiple of %zu", region->origin, multiple);
        if (code)
            *code = CL_MISALIGNED_SUB_BUFFER_OFFSET;
        return NULL;
    }
    return real(buffer, flags, type, info, code);
}

/* ---- programs and launches ---------------------------------------------------------------------
 */

static size_t product(const size_t *sides, cl_uint count)
{
    size_t all = 1;
    for (cl_uint k = 0; k < count; k++)
        all *= sides[k];
    return all;
}

static size_t wanted_group(cl_kernel kernel, cl_device_id device)
{
    size_t sides[3] = {0, 0, 0};
    clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof sides, sides,
                             NULL);
    return product(sides, 3);
}

/* The name of a kernel that wants a larger group than there is; "" where none does. */
static void find_larger(cl_program program, cl_device_id device, size_t most, char name[200])
{
    cl_kernel kernels[64];
    cl_uint count = 0;

    *name = 0;
    if (clCreateKernelsInProgram(program, 64, kernels, &count))
        return;
    for (cl_uint i = 0; i < count; i++) {
        if (wanted_group(kernels[i], device) > most)
            clGetKernelInfo(kernels[i], CL_KERNEL_FUNCTION_NAME, 200, name, NULL);
        clReleaseKernel(kernels[i]);
    }
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices,
                      const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                      void *user)
{
    static const char *const inexact[] = {"-cl-fast-relaxed-math", "-cl-unsafe-math-optimizations",
                                          "-cl-finite-math-only", "-cl-mad-enable",
                                          "-cl-denorms-are-zero"};
    REAL(clBuildProgram);
    size_t most = limit("MASSFLOW_LIMIT_GROUP");
    char name[200];

    for (size_t i = 0; options && i < sizeof inexact / sizeof *inexact; i++)
        if (strstr(options, inexact[i])) {
            say("build with %s", inexact[i]);
            return CL_INVALID_BUILD_OPTIONS;
        }
    cl_int code = real(program, count, devices, options, notify, user);
    if (code || !most || !count)
        return code;
    find_larger(program, devices[0], most, name);
    if (!*name)
        return code;
    say("build of kernel %s for groups of more than %zu work-items", name, most);
    return CL_BUILD_PROGRAM_FAILURE;
}

static size_t local_bytes(cl_kernel kernel, cl_device_id device)
{
    cl_ulong bytes = 0;
    clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    return bytes;
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                              const size_t *offset, const size_t *global, const size_t *local,
                              cl_uint waits, const cl_event *wait_list, cl_event *event)
{
    REAL(clEnqueueNDRangeKernel);
    size_t room = limit("MASSFLOW_LIMIT_LOCAL");
    cl_device_id device;
    if (clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL))
        return CL_INVALID_COMMAND_QUEUE;
    size_t most = smaller(smaller(SIZE_MAX, "MASSFLOW_LIMIT_GROUP"), "MASSFLOW_LIMIT_STATED");
    if (!wanted_group(kernel, device))
        most = smaller(most, "MASSFLOW_LIMIT_KERNEL");

    if (local && product(local, dims) > most) {
        say("launch of groups of %zu work-items, where %zu are run", product(local, dims), most);
        return CL_INVALID_WORK_GROUP_SIZE;
    }
    if (room && local_bytes(kernel, device) > room) {
        say("launch with %zu bytes of local memory, where there are %zu",
            local_bytes(kernel, device), room);
        return CL_OUT_OF_RESOURCES;
    }
    return real(queue, kernel, dims, offset, global, local, waits, wait_list, event);
}
