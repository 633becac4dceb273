/* lying.c - an OpenCL driver that is wrong, loaded before the loader of OpenCL (LD_PRELOAD).
 *
 * LIE_ABOUT names a kernel. After it was launched, the next read of floats gets another second one.
 * CRASH_IN names one whose launch is a crash. WAIT_IN names one whose launch waits until the file
 * WAIT_FOR is there. */
#include <CL/cl.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool armed;

static bool is(cl_kernel kernel, const char *variable)
{
    const char *wanted = getenv(variable);
    char name[128] = "";
    return wanted && !clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL) &&
           !strcmp(name, wanted);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                              const size_t *offset, const size_t *global, const size_t *local,
                              cl_uint count, const cl_event *list, cl_event *event)
{
    cl_int (*real)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *,
                   const size_t *, cl_uint, const cl_event *, cl_event *) =
        dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    armed |= is(kernel, "LIE_ABOUT");
    if (is(kernel, "CRASH_IN"))
        raise(SIGSEGV);
    while (is(kernel, "WAIT_IN") && access(getenv("WAIT_FOR"), F_OK))
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    return real(queue, kernel, dims, offset, global, local, count, list, event);
}

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                           size_t size, void *to, cl_uint count, const cl_event *list,
                           cl_event *event)
{
    cl_int (*real)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint,
                   const cl_event *, cl_event *) = dlsym(RTLD_NEXT, "clEnqueueReadBuffer");
    cl_int code = real(queue, buffer, blocking, offset, size, to, count, list, event);
    if (armed && size >= 2 * sizeof(float)) {
        ((float *)to)[1] += 1;
        armed = false;
    }
    return code;
}
