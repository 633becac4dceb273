/* lying.c - an OpenCL driver that is wrong, loaded before the loader of OpenCL (LD_PRELOAD).
 *
 * LIE_ABOUT names a kernel. After it was launched, the next read of floats gets another second one.
 * LIE_FORM is the form of the kernels that alone lies: MF_CPU=1 or MF_CPU=0. CRASH_IN names one
 * whose launch is a crash. WAIT_IN names one whose launch waits until the file WAIT_FOR is there,
 * or is "build": then each build waits. LAUNCHES is a file to which each launch adds a line: the
 * kernel and its form. DRIVER is the version that the driver says it has. */
#include <CL/cl.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
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

/* Whether the kernel was built in a form, "MF_CPU=1". */
static bool built_with(cl_kernel kernel, const char *form)
{
    char options[2048] = "";
    cl_program program;
    cl_device_id device;
    return !clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof program, &program, NULL) &&
           !clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof device, &device, NULL) &&
           !clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_OPTIONS, sizeof options,
                                  options, NULL) &&
           strstr(options, form);
}

static void note(cl_kernel kernel)
{
    const char *file = getenv("LAUNCHES");
    char name[128] = "";
    FILE *out = file ? fopen(file, "ae") : NULL;
    if (!out)
        return;
    clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    fprintf(out, "%s %s\n", name, built_with(kernel, "MF_CPU=1") ? "cpu" : "gpu");
    fclose(out);
}

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t size, void *to, size_t *got)
{
    cl_int (*real)(cl_device_id, cl_device_info, size_t, void *, size_t *) =
        dlsym(RTLD_NEXT, "clGetDeviceInfo");
    const char *version = getenv("DRIVER");
    if (what != CL_DRIVER_VERSION || !version || !to || size <= strlen(version))
        return real(device, what, size, to, got);
    strcpy(to, version);
    if (got)
        *got = strlen(version) + 1;
    return CL_SUCCESS;
}

static void wait_for_file(void)
{
    while (access(getenv("WAIT_FOR"), F_OK))
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices,
                      const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                      void *user)
{
    cl_int (*real)(cl_program, cl_uint, const cl_device_id *, const char *,
                   void(CL_CALLBACK *)(cl_program, void *), void *) =
        dlsym(RTLD_NEXT, "clBuildProgram");
    const char *where = getenv("WAIT_IN");
    if (where && !strcmp(where, "build"))
        wait_for_file();
    return real(program, count, devices, options, notify, user);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                              const size_t *offset, const size_t *global, const size_t *local,
                              cl_uint count, const cl_event *list, cl_event *event)
{
    cl_int (*real)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *,
                   const size_t *, cl_uint, const cl_event *, cl_event *) =
        dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    const char *form = getenv("LIE_FORM");
    note(kernel);
    armed |= is(kernel, "LIE_ABOUT") && (!form || built_with(kernel, form));
    if (is(kernel, "CRASH_IN"))
        raise(SIGSEGV);
    if (is(kernel, "WAIT_IN"))
        wait_for_file();
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
