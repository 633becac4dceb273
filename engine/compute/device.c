/* device.c - which OpenCL devices there are, and opening one.
 *
 * Before the first OpenCL call POCL_AFFINITY=1 is put into the environment unless it is set: PoCL
 * otherwise often runs two workers on one core, at half speed. It pins workers to the same cores in
 * every process, so where several processes compute at once, set POCL_AFFINITY=0. */
#include "compute/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct found {
    mf_device_info info;
    cl_device_id id;
} found;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_affinity(void)
{
    setenv("POCL_AFFINITY", "1", 0);
}

static void text(cl_device_id id, cl_device_info what, char *to, size_t size)
{
    char long_text[1024] = "";
    if (clGetDeviceInfo(id, what, sizeof long_text - 1, long_text, NULL) != CL_SUCCESS)
        long_text[0] = 0;
    snprintf(to, size, "%.*s", (int)size - 1, long_text);
}

static size_t number(cl_device_id id, cl_device_info what)
{
    union {
        cl_uint u;
        cl_ulong l;
        size_t s;
    } value = {.l = 0};
    size_t got = 0;
    if (clGetDeviceInfo(id, what, sizeof value, &value, &got) != CL_SUCCESS)
        return 0;
    return got == sizeof(cl_uint) ? value.u : (size_t)value.l;
}

static void describe(cl_device_id id, const char *platform, mf_device_info *info)
{
    memset(info, 0, sizeof *info);
    text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    text(id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    snprintf(info->platform, sizeof info->platform, "%s", platform);
    text(id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    info->is_cpu = type & CL_DEVICE_TYPE_CPU;
    /* An integrated GPU shares memory too, but needs its caches flushed by map and unmap. */
    info->shares_host_memory = info->is_cpu && number(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    /* For tests: the GPU form of every kernel, on whatever device there is. */
    const char *form = getenv("MASSFLOW_KERNELS");
    if (form && !strcmp(form, "gpu"))
        info->is_cpu = false;
    info->compute_units = (int)number(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->memory = number(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_allocation = number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->local_memory = number(id, CL_DEVICE_LOCAL_MEM_SIZE);
    info->max_work_group = number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
}

/* All devices, GPUs before CPUs; *list is freed with free(). */
static mf_status find(found **list, size_t *count)
{
    pthread_once(&once, set_affinity);
    *list = NULL;
    *count = 0;
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    if (clGetPlatformIDs(16, platforms, &platform_count) != CL_SUCCESS)
        platform_count = 0;
    if (platform_count > 16)
        platform_count = 16;
    found *all = NULL;
    size_t n = 0;
    for (int cpus = 0; cpus < 2; cpus++)
        for (cl_uint i = 0; i < platform_count; i++) {
            cl_device_id ids[32];
            cl_uint found_here = 0;
            char platform[128] = "";
            clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof platform - 1, platform, NULL);
            if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 32, ids, &found_here))
                continue;
            for (cl_uint k = 0; k < found_here && k < 32; k++) {
                found one = {.id = ids[k]};
                describe(ids[k], platform, &one.info);
                if (one.info.is_cpu != (cpus == 1))
                    continue;
                found *more = realloc(all, (n + 1) * sizeof *all);
                if (!more) {
                    free(all);
                    return mf_fail(MF_NO_MEMORY, "no memory for the list of devices");
                }
                all = more;
                all[n++] = one;
            }
        }
    if (!n)
        return mf_hint(mf_fail(MF_NOT_FOUND, "no OpenCL device"),
                       "install the package pocl-opencl-icd to compute on the CPU, or the OpenCL "
                       "driver of your GPU's vendor; `clinfo -l` lists what is found");
    *list = all;
    *count = n;
    return MF_OK;
}

mf_status mf_devices_list(mf_device_info **infos, size_t *count)
{
    found *all;
    *infos = NULL;
    *count = 0;
    MF_TRY(find(&all, count));
    *infos = calloc(*count, sizeof **infos);
    if (*infos)
        for (size_t i = 0; i < *count; i++)
            (*infos)[i] = all[i].info;
    free(all);
    return *infos ? MF_OK : mf_fail(MF_NO_MEMORY, "no memory for the list of devices");
}

/* Index of the device that `which` means, or -1. */
static int choose(const found *all, size_t count, const char *which)
{
    if (!which || !*which)
        return 0;
    char *end;
    long index = strtol(which, &end, 10);
    if (!*end)
        return index >= 0 && (size_t)index < count ? (int)index : -1;
    bool cpu = !strcasecmp(which, "cpu"), gpu = !strcasecmp(which, "gpu");
    for (size_t i = 0; i < count; i++)
        if (cpu || gpu ? all[i].info.is_cpu == cpu : strcasestr(all[i].info.name, which) != NULL)
            return (int)i;
    return -1;
}

static mf_status open_one(const found *one, mf_device **device)
{
    mf_device *d = calloc(1, sizeof *d);
    if (!d)
        return mf_fail(MF_NO_MEMORY, "no memory for a device");
    cl_int code;
    d->refs = 1;
    d->info = one->info;
    d->id = one->id;
    d->context = clCreateContext(NULL, 1, &d->id, NULL, NULL, &code);
    if (!d->context) {
        free(d);
        return mf_within(mf_cl_check(code, "creating a context"), "opening device %s",
                         one->info.name);
    }
    size_t bits = number(d->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN);
    d->alignment = bits / 8 > 256 ? bits / 8 : 256;
    size_t width = number(d->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    d->vector = width ? (int)width : 1;
    pthread_mutex_init(&d->lock, NULL);
    *device = d;
    return MF_OK;
}

mf_status mf_device_open(const char *which, mf_device **device)
{
    found *all;
    size_t count;
    *device = NULL;
    MF_TRY(find(&all, &count));
    int index = choose(all, count, which);
    mf_status status;
    if (index >= 0) {
        status = open_one(&all[index], device);
    } else {
        char names[1024] = "";
        for (size_t i = 0, at = 0; i < count && at < sizeof names; i++)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%zu: %s", i ? "; " : "", i,
                                   all[i].info.name);
        status = mf_hint(mf_fail(MF_NOT_FOUND, "no OpenCL device matches \"%s\"", which),
                         "there is %s", names);
    }
    free(all);
    return status;
}

mf_device *mf_device_ref(mf_device *device)
{
    __atomic_add_fetch(&device->refs, 1, __ATOMIC_RELAXED);
    return device;
}

void mf_device_unref(mf_device *device)
{
    if (!device || __atomic_sub_fetch(&device->refs, 1, __ATOMIC_ACQ_REL))
        return;
    while (device->modules) {
        mf_module *module = device->modules;
        device->modules = module->next;
        clReleaseProgram(module->program);
        free(module);
    }
    clReleaseContext(device->context);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

const mf_device_info *mf_device_get_info(const mf_device *device)
{
    return &device->info;
}

void mf_device_keep_binaries(mf_device *device, const mf_binary_store *store)
{
    pthread_mutex_lock(&device->lock);
    device->store = store ? *store : (mf_binary_store){0};
    pthread_mutex_unlock(&device->lock);
}
