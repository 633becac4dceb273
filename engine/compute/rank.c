/* rank.c - the order in which found devices are listed, and which of them are one processor that
 * several drivers offer. Knows nothing of OpenCL calls: device.c fills in what is compared here.
 *
 * GPUs come first, then CPUs, then programs that emulate a device. Of the drivers of one processor
 * the best is listed in that order; the others come last and name it (same_as). */
#include "compute/compute.h"

#include <stdlib.h>
#include <string.h>

bool mf_device_is_emulation(const char *name)
{
    static const char *const emulations[] = {
        "llvmpipe", "softpipe", "swrast", "SwiftShader", "Microsoft Basic Render", "Oclgrind"};
    for (size_t i = 0; i < sizeof emulations / sizeof *emulations; i++)
        if (strcasestr(name, emulations[i]))
            return true;
    return false;
}

bool mf_device_runs_groups(const char *name)
{
    return strcasestr(name, "llvmpipe");
}

static int class_of(const mf_found_device *d)
{
    return d->kind == MF_FOUND_GPU ? 0 : d->kind == MF_FOUND_CPU ? 1 : 2;
}

/* Less is better. PoCL is the driver of CPUs that massflow is tested with; a GPU's vendor knows it
 * best, and Clover is older than rusticl. */
static int driver_of(const mf_found_device *d)
{
    const char *platform = d->info.platform;
    const bool pocl = strcasestr(platform, "Portable Computing Language");
    if (d->kind != MF_FOUND_GPU)
        return 2 * class_of(d) + !pocl;
    return strcasestr(platform, "Clover") ? 3 : strcasestr(platform, "rusticl") ? 2 : pocl ? 1 : 0;
}

static bool same_words(const mf_found_device *a, const mf_found_device *b)
{
    return !strcmp(a->info.name, b->info.name) && !strcmp(a->info.vendor, b->info.vendor);
}

/* How many devices of the platform of list[i] with its name stand before it. */
static int turn_of(const mf_found_device *list, size_t i)
{
    int turn = 0;
    for (size_t k = 0; k < i; k++)
        turn += list[k].platform == list[i].platform && same_words(&list[k], &list[i]);
    return turn;
}

/* A machine's CPU is one, and runs the emulations. GPUs are one by their place on the PCI bus, or
 * where a driver does not tell it by name and vendor: the first of that name of one platform is the
 * first of the other. */
static bool one_processor(const mf_found_device *list, size_t i, size_t k)
{
    const mf_found_device *a = &list[i], *b = &list[k];
    if (a->platform == b->platform)
        return false;
    if (a->kind != MF_FOUND_GPU || b->kind != MF_FOUND_GPU)
        return a->kind != MF_FOUND_GPU && b->kind != MF_FOUND_GPU;
    if (a->pci >= 0 && b->pci >= 0)
        return a->pci == b->pci;
    return same_words(a, b) && turn_of(list, i) == turn_of(list, k);
}

/* The best driver of list[i]'s processor. */
static size_t best_of(const mf_found_device *list, size_t count, size_t i)
{
    size_t best = i;
    for (size_t k = 0; k < count; k++)
        if (one_processor(list, i, k) &&
            (driver_of(&list[k]) < driver_of(&list[best]) ||
             (driver_of(&list[k]) == driver_of(&list[best]) && k < best)))
            best = k;
    return best;
}

mf_status mf_devices_rank(mf_found_device *list, size_t count)
{
    mf_found_device *sorted = calloc(count + 1, sizeof *sorted);
    size_t *best = calloc(count + 1, sizeof *best), *place = calloc(count + 1, sizeof *place),
           n = 0;
    if (!sorted || !best || !place) {
        free(sorted);
        free(best);
        free(place);
        return mf_no_memory(0, "the list of devices");
    }
    for (size_t i = 0; i < count; i++)
        best[i] = best_of(list, count, i);
    for (int other = 0; other < 2; other++)
        for (int class = 0; class < 3; class ++)
            for (size_t i = 0; i < count; i++)
                if (class_of(&list[i]) == class && (best[i] != i) == other) {
                    place[i] = n;
                    sorted[n++] = list[i];
                }
    for (size_t i = 0; i < count; i++)
        sorted[place[i]].info.same_as =
            best[i] == i || place[best[i]] > INT8_MAX ? -1 : (int8_t)place[best[i]];
    if (count)
        memcpy(list, sorted, count * sizeof *list);
    free(sorted);
    free(best);
    free(place);
    return MF_OK;
}
