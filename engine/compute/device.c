/* device.c - which OpenCL devices there are, and opening one, whole or a part. What a user's words
 * for them mean is in choose.c.
 *
 * Before the first OpenCL call POCL_AFFINITY=1 is put into the environment unless it is set: PoCL
 * otherwise often runs two workers on one core, at half speed. It pins workers to the same cores in
 * every process, so where several processes compute at once, set POCL_AFFINITY=0. */
#include "compute/compute.h"
#include "compute/devices.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What kernels in the GPU form take: of the largest group and of local memory; in the plain form.
 */
enum { GROUP_OF_TILES = 256, LOCAL_OF_TILES = 32768, GROUP_OF_ITEMS = 64 };

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

static bool has_extension(cl_device_id id, const char *name)
{
    size_t size = 0;
    char *all;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) || !(all = calloc(1, size + 1)))
        return false;
    const bool has =
        !clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, all, NULL) && strstr(all, name);
    free(all);
    return has;
}

/* Queries of extensions, which OpenCL's own header lacks. */
enum {
    PCI_BUS_INFO_KHR = 0x410F,
    PCI_BUS_ID_NV = 0x4008,
    PCI_SLOT_ID_NV = 0x4009,
    PCI_DOMAIN_ID_NV = 0x400A,
    TOPOLOGY_AMD = 0x4037
};

/* Where a GPU is on the PCI bus; -1 where its driver does not tell. */
static int64_t pci_of(cl_device_id id)
{
    cl_uint khr[4]; /* domain, bus, device, function */
    if (has_extension(id, "cl_khr_pci_bus_info") &&
        !clGetDeviceInfo(id, PCI_BUS_INFO_KHR, sizeof khr, khr, NULL))
        return (int64_t)khr[0] << 16 | khr[1] << 8 | khr[2] << 3 | khr[3];
    cl_uint bus, slot, domain = 0; /* of the slot the lower three bits are the function */
    if (has_extension(id, "cl_nv_device_attribute_query") &&
        !clGetDeviceInfo(id, PCI_BUS_ID_NV, sizeof bus, &bus, NULL) &&
        !clGetDeviceInfo(id, PCI_SLOT_ID_NV, sizeof slot, &slot, NULL)) {
        clGetDeviceInfo(id, PCI_DOMAIN_ID_NV, sizeof domain, &domain, NULL);
        return (int64_t)domain << 16 | bus << 8 | slot;
    }
    struct {
        cl_uint type; /* 1: PCI Express */
        cl_uchar unused[17], bus, device, function;
    } amd;
    if (has_extension(id, "cl_amd_device_attribute_query") &&
        !clGetDeviceInfo(id, TOPOLOGY_AMD, sizeof amd, &amd, NULL) && amd.type == 1)
        return amd.bus << 8 | amd.device << 3 | amd.function;
    return -1;
}

static void describe(cl_device_id id, const char *platform, mf_found_device *found)
{
    mf_device_info *info = &found->info;
    text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    text(id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    snprintf(info->platform, sizeof info->platform, "%s", platform);
    text(id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    found->kind = mf_device_is_emulation(info->name) ? MF_FOUND_EMULATION
                  : type & CL_DEVICE_TYPE_CPU        ? MF_FOUND_CPU
                                                     : MF_FOUND_GPU;
    found->pci = found->kind == MF_FOUND_GPU ? pci_of(id) : -1;
    info->is_cpu = found->kind != MF_FOUND_GPU;
    /* An integrated GPU shares memory too, but needs its caches flushed by map and unmap. */
    info->shares_host_memory = info->is_cpu && number(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    info->plain = info->is_cpu && !mf_device_runs_groups(info->name);
    /* The GPU form of every kernel, on whatever device there is, for tests; the plain form on a GPU
     * whose driver fails with the other. */
    const char *form = getenv("MASSFLOW_KERNELS");
    if (form && !strcmp(form, "gpu"))
        info->is_cpu = info->plain = false;
    else if (form && !strcmp(form, "cpu"))
        info->plain = true;
    info->compute_units = (int)number(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->memory = number(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_allocation = number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->local_memory = number(id, CL_DEVICE_LOCAL_MEM_SIZE);
    info->max_work_group = number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    info->same_as = -1;
    if (info->max_work_group < GROUP_OF_TILES || info->local_memory < LOCAL_OF_TILES)
        info->plain = true;
}

/* Whether kernels can be built for it: OpenCL 1.2 or newer ("OpenCL 3.0 PoCL"), and a compiler. */
static bool is_usable(const mf_found_device *d)
{
    int major = 0, minor = 0;
    if (sscanf(d->info.version, "OpenCL %d.%d", &major, &minor) != 2)
        return false;
    return (major > 1 || (major == 1 && minor >= 2)) && number(d->id, CL_DEVICE_COMPILER_AVAILABLE);
}

/* The devices of all platforms that are usable, or those that are not, in the platforms' order. */
static mf_status look(bool usable, mf_found_device **list, size_t *count)
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
    mf_found_device *all = NULL;
    size_t n = 0;
    for (cl_uint i = 0; i < platform_count; i++) {
        cl_device_id ids[32];
        cl_uint found_here = 0;
        char platform[128] = "";
        clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof platform - 1, platform, NULL);
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 32, ids, &found_here))
            continue;
        for (cl_uint k = 0; k < found_here && k < 32; k++) {
            mf_found_device one = {.id = ids[k], .platform = platforms[i]};
            describe(ids[k], platform, &one);
            if (is_usable(&one) != usable)
                continue;
            mf_found_device *more = mf_list_more(all, n, sizeof *all);
            if (!more) {
                free(all);
                return mf_no_memory(0, "the list of devices");
            }
            all = more;
            all[n++] = one;
        }
    }
    *list = all;
    *count = n;
    return MF_OK;
}

mf_status mf_devices_find(mf_found_device **list, size_t *count)
{
    MF_TRY(look(true, list, count));
    if (!*count)
        return mf_hint(mf_fail(MF_NOT_FOUND, "no OpenCL device"),
                       "install the package pocl-opencl-icd to compute on the CPU, or the OpenCL "
                       "driver of your GPU's vendor; `clinfo -l` lists what is found");
    mf_status status = mf_devices_rank(*list, *count);
    if (status) {
        free(*list);
        *list = NULL;
        *count = 0;
    }
    return status;
}

/* Copies what is said of devices; frees the list. */
static mf_status infos_of(mf_found_device *list, size_t count, mf_device_info **infos)
{
    *infos = calloc(count + 1, sizeof **infos);
    for (size_t i = 0; *infos && i < count; i++)
        (*infos)[i] = list[i].info;
    free(list);
    return *infos ? MF_OK : mf_no_memory(0, "the list of devices");
}

mf_status mf_devices_list(mf_device_info **infos, size_t *count)
{
    mf_found_device *all;
    *infos = NULL;
    MF_TRY(mf_devices_find(&all, count));
    return infos_of(all, *count, infos);
}

mf_status mf_devices_refused(mf_device_info **infos, size_t *count)
{
    mf_found_device *all;
    *infos = NULL;
    MF_TRY(look(false, &all, count));
    return infos_of(all, *count, infos);
}

/* Whether the driver divides a device by counts of units. It is asked first: Mesa 22.3 does not,
 * and has no function at all where OpenCL 1.2 wants one that gives an error. */
static bool divides(cl_device_id id)
{
    cl_device_partition_property ways[16] = {0};
    size_t size = 0;
    if (number(id, CL_DEVICE_PARTITION_MAX_SUB_DEVICES) < 2 ||
        clGetDeviceInfo(id, CL_DEVICE_PARTITION_PROPERTIES, sizeof ways, ways, &size))
        return false;
    for (size_t i = 0; i < size / sizeof *ways; i++)
        if (ways[i] == CL_DEVICE_PARTITION_BY_COUNTS)
            return true;
    return false;
}

/* One of `parts` equal parts of a device; the caller releases it. */
static mf_status cut(const mf_found_device *whole, int parts, int part, cl_device_id *id)
{
    enum { MOST = 64 };
    cl_device_partition_property wanted[MOST + 3];
    cl_device_id ids[MOST];
    int units = whole->info.compute_units;
    if (parts > MOST || parts > units)
        return mf_fail(MF_INVALID, "device %s has %d compute units; it can't be cut in %d parts",
                       whole->info.name, units, parts);
    if (part >= parts)
        return mf_fail(MF_INVALID, "of %d parts of a device the last is %d", parts, parts - 1);
    if (!divides(whole->id))
        return mf_fail(MF_UNSUPPORTED, "device %s: its driver (%s) does not cut it in parts",
                       whole->info.name, whole->info.platform);
    int n = 0;
    wanted[n++] = CL_DEVICE_PARTITION_BY_COUNTS;
    for (int i = 0; i < parts; i++)
        wanted[n++] = units / parts;
    wanted[n++] = CL_DEVICE_PARTITION_BY_COUNTS_LIST_END;
    wanted[n] = 0;
    mf_status status =
        mf_cl_check(clCreateSubDevices(whole->id, wanted, MOST, ids, NULL), "cutting it in parts");
    if (status)
        return mf_within(status, "device %s", whole->info.name);
    for (int i = 0; i < parts; i++)
        if (i != part)
            clReleaseDevice(ids[i]);
    *id = ids[part];
    return MF_OK;
}

/* PoCL keeps each kernel that ran. Asking it for a binary compiles all kernels of a source, and for
 * groups of any size, which more than doubles what a first run compiles. */
static bool keeps_kernels(const mf_device_info *info)
{
    const char *kept = getenv("POCL_KERNEL_CACHE");
    return strcasestr(info->platform, "Portable Computing Language") &&
           (!kept || kept[0] == '1'); /* as PoCL reads it */
}

static mf_status open_context(mf_device *d)
{
    cl_int code;
    d->context = clCreateContext(NULL, 1, &d->id, NULL, NULL, &code);
    if (!d->context)
        return mf_within(mf_cl_check(code, "creating a context"), "opening device %s",
                         d->info.name);
    size_t bits = number(d->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN);
    d->alignment = bits / 8 > 256 ? bits / 8 : 256;
    size_t width = number(d->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    d->vector = width ? (int)width : 1;
    d->keeps_kernels = keeps_kernels(&d->info);
    return MF_OK;
}

mf_status mf_device_new(const mf_found_device *list, size_t index, int parts, int part,
                        mf_device **device)
{
    const mf_found_device *whole = &list[index];
    *device = NULL;
    if (whole->info.max_work_group < GROUP_OF_ITEMS)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "device %s runs groups of at most %zu work-items; massflow needs %d",
                               whole->info.name, whole->info.max_work_group, GROUP_OF_ITEMS),
                       "choose another with --device; 'massflow devices' lists them");
    mf_device *d = calloc(1, sizeof *d);
    if (!d)
        return mf_no_memory(0, "a device");
    d->refs = 1;
    d->info = whole->info;
    d->id = whole->id;
    snprintf(d->text, sizeof d->text, "%zu", index);
    mf_status status = MF_OK;
    if (parts) {
        status = cut(whole, parts, part, &d->id);
        d->is_part = !status;
        /* Not which of the parts: they are alike, and so are their results. */
        d->info.compute_units = whole->info.compute_units / parts;
        snprintf(d->info.name, sizeof d->info.name, "%.110s / %d", whole->info.name, parts);
        snprintf(d->text, sizeof d->text, "%zu/%d.%d", index, parts, part);
    }
    if (!status)
        status = open_context(d);
    if (status) {
        if (d->is_part)
            clReleaseDevice(d->id);
        free(d);
        return status;
    }
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->building.lock, NULL);
    *device = d;
    return MF_OK;
}

mf_status mf_device_again(mf_device *device, bool plain, mf_device **other)
{
    mf_device *d = calloc(1, sizeof *d);
    *other = NULL;
    if (!d)
        return mf_no_memory(sizeof *d, "a device");
    pthread_mutex_lock(&device->lock);
    d->store = device->store;
    pthread_mutex_unlock(&device->lock);
    d->refs = 1;
    d->info = device->info;
    d->info.plain = plain;
    d->id = device->id;
    d->is_part = device->is_part;
    memcpy(d->text, device->text, sizeof d->text);
    mf_status status = open_context(d);
    if (status) {
        free(d);
        return status;
    }
    if (d->is_part)
        clRetainDevice(d->id);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->building.lock, NULL);
    *other = d;
    return MF_OK;
}

const char *mf_device_text(const mf_device *device)
{
    return device->text;
}

bool mf_device_same_memory(const mf_device *a, const mf_device *b)
{
    size_t length = strcspn(a->text, "/");
    return length == strcspn(b->text, "/") && !memcmp(a->text, b->text, length);
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
        mf_signatures_free(module->signatures);
        if (module->program)
            clReleaseProgram(module->program);
        free(module);
    }
    if (device->context)
        clReleaseContext(device->context);
    if (device->is_part)
        clReleaseDevice(device->id);
    pthread_mutex_destroy(&device->lock);
    pthread_mutex_destroy(&device->building.lock);
    free(device);
}

mf_status mf_device_counting(const mf_device *like, mf_device **counting)
{
    mf_device *d = calloc(1, sizeof *d);
    *counting = NULL;
    if (!d)
        return mf_no_memory(sizeof *d, "a device");
    d->refs = 1;
    d->info = like->info;
    memcpy(d->text, like->text, sizeof d->text);
    d->counting = true;
    d->alignment = like->alignment;
    d->vector = like->vector;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->building.lock, NULL);
    *counting = d;
    return MF_OK;
}

size_t mf_device_used(const mf_device *device)
{
    return device->used;
}

size_t mf_device_most_used(const mf_device *device)
{
    return device->most_used;
}

const mf_device_info *mf_device_get_info(const mf_device *device)
{
    return &device->info;
}

size_t mf_device_alignment(const mf_device *device)
{
    return device->alignment;
}

void mf_device_keep_binaries(mf_device *device, const mf_binary_store *store)
{
    pthread_mutex_lock(&device->lock);
    device->store = store ? *store : (mf_binary_store){0};
    pthread_mutex_unlock(&device->lock);
}
