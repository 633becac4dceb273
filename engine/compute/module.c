/* module.c - building OpenCL source: once a device for each (source, options), from a kept binary
 * where there is one. */
#include "compute/compute.h"
#include "compute/devices.h"

#include <massflow/seconds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a over 128 bits (Fowler, Noll, Vo; offset basis and prime of draft-eastlake-fnv). */
void mf_digest(const char *const *strings, char hex[33])
{
    typedef unsigned __int128 u128;
    const u128 prime = ((u128)1 << 88) + 0x13b;
    u128 h = ((u128)0x6c62272e07bb0142u << 64) + 0x62b821756295c58du;
    for (; *strings; strings++) {
        const unsigned char *s = (const unsigned char *)*strings;
        do
            h = (h ^ *s) * prime;
        while (*s++);
    }
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)(h >> 64), (unsigned long long)h);
}

static mf_status build_log(const mf_device *device, cl_program program, const char *options,
                           cl_int code)
{
    size_t size = 0;
    clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(1, size + 1);
    if (log && size)
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    mf_status status =
        mf_fail(MF_DEVICE, "OpenCL source does not build on %s with \"%s\": %s\n%.*s",
                device->info.name, options, mf_cl_text(code), 4000, log ? log : "");
    free(log);
    if (!device->info.plain)
        status =
            mf_hint(status, "if the driver fails, and not the source: MASSFLOW_KERNELS=cpu in the "
                            "environment chooses simpler kernels");
    return status;
}

/* The kept binary as a program; NULL where there is none or the driver does not take it. */
static cl_program from_binary(mf_device *device, const char *key, const char *options)
{
    if (!device->store.get || device->keeps_kernels)
        return NULL;
    size_t size = 0;
    uint8_t *bytes = device->store.get(device->store.self, key, &size);
    if (!bytes)
        return NULL;
    cl_int status = CL_SUCCESS, code;
    const unsigned char *binary = bytes;
    cl_program program =
        clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &status, &code);
    free(bytes);
    if (program && (status || clBuildProgram(program, 1, &device->id, options, NULL, NULL))) {
        clReleaseProgram(program);
        program = NULL;
    }
    return program;
}

static void keep_binary(mf_device *device, const char *key, cl_program program)
{
    if (!device->store.put || device->keeps_kernels)
        return;
    size_t size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) || !size)
        return;
    unsigned char *bytes = malloc(size);
    if (bytes && !clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL))
        device->store.put(device->store.self, key, bytes, size);
    free(bytes);
}

static mf_status from_source(mf_device *device, const char *const *sources, const char *options,
                             cl_program *program)
{
    cl_uint count = 0;
    while (sources[count])
        count++;
    cl_int code;
    const char **strings = malloc(count * sizeof *strings);
    if (!strings)
        return mf_no_memory(count * sizeof *strings, "OpenCL source");
    memcpy(strings, sources, count * sizeof *strings);
    *program = clCreateProgramWithSource(device->context, count, strings, NULL, &code);
    free(strings);
    MF_TRY(mf_cl_check(code, "creating a program"));
    code = clBuildProgram(*program, 1, &device->id, options, NULL, NULL);
    if (code == CL_SUCCESS)
        return MF_OK;
    mf_status status = build_log(device, *program, options, code);
    clReleaseProgram(*program);
    return status;
}

/* Seconds: how long a compiler works before it is worth a word, and what separates two bursts of
 * sources. */
#define WORTH_A_WORD 1.0

static void begin_compiling(mf_device *device)
{
    double now = mf_seconds();
    pthread_mutex_lock(&device->building.lock);
    if (!device->building.sources || now - device->building.ended > WORTH_A_WORD)
        device->building.begun = now;
    device->building.sources++;
    device->building.now = true;
    pthread_mutex_unlock(&device->building.lock);
}

static void end_compiling(mf_device *device)
{
    pthread_mutex_lock(&device->building.lock);
    device->building.now = false;
    device->building.ended = mf_seconds();
    pthread_mutex_unlock(&device->building.lock);
}

int mf_device_compiling(mf_device *device)
{
    double now = mf_seconds();
    pthread_mutex_lock(&device->building.lock);
    int sources = device->building.sources;
    if (!sources || now - device->building.begun < WORTH_A_WORD ||
        (!device->building.now && now - device->building.ended > WORTH_A_WORD))
        sources = 0;
    pthread_mutex_unlock(&device->building.lock);
    return sources;
}

/* Under the device's lock. */
static mf_status build(mf_device *device, const char *const *sources, const char *options,
                       const char *key, const mf_module **found)
{
    for (mf_module *m = device->modules; m; m = m->next)
        if (!strcmp(m->key, key)) {
            *found = m;
            return MF_OK;
        }
    mf_module *module = calloc(1, sizeof *module);
    if (!module)
        return mf_no_memory(sizeof *module, "a module");
    module->device = device;
    memcpy(module->key, key, sizeof module->key);
    module->program = device->counting ? NULL : from_binary(device, key, options);
    if (!module->program && !device->counting) {
        begin_compiling(device);
        mf_status status = from_source(device, sources, options, &module->program);
        if (!status)
            keep_binary(device, key, module->program); /* some compile no sooner */
        end_compiling(device);
        if (status) {
            free(module);
            return status;
        }
    }
    module->signatures = module->program ? mf_signatures_read(module->program) : NULL;
    module->next = device->modules;
    device->modules = module;
    *found = module;
    return MF_OK;
}

mf_status mf_module_build(mf_device *device, const char *const *sources, const char *options,
                          const mf_module **module)
{
    *module = NULL;
    char all[1024];
    int length =
        snprintf(all, sizeof all, "-cl-std=CL1.2 -cl-kernel-arg-info -DMF_CPU=%d -DMF_VECTOR=%d %s",
                 device->info.plain, device->vector, options ? options : "");
    if (length >= (int)sizeof all)
        return mf_fail(MF_INVALID, "build options are longer than %zu characters", sizeof all);

    size_t count = 0;
    while (sources[count])
        count++;
    const mf_device_info *info = &device->info;
    const char *identity[] = {all, info->name, info->platform, info->version, info->driver};
    const size_t head = sizeof identity / sizeof identity[0];
    const char **strings = calloc(head + count + 1, sizeof *strings);
    if (!strings)
        return mf_no_memory((size_t)(head + count + 1) * sizeof *strings, "a module");
    memcpy(strings, identity, sizeof identity);
    memcpy(strings + head, sources, count * sizeof *strings);
    char key[33];
    mf_digest(strings, key);
    free(strings);

    pthread_mutex_lock(&device->lock);
    mf_status status = build(device, sources, all, key, module);
    pthread_mutex_unlock(&device->lock);
    return status;
}
