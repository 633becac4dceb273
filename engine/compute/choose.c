/* choose.c - which devices a user's words mean: "gpu", "1", "all", "cpu/2", "0,1". */
#include "compute/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_DEVICES 64

/* "NAME", "NAME/N" or "NAME/N.I", taken apart. */
typedef struct words {
    char name[160];
    int parts; /* 0: the whole device */
    int part;  /* -1: all of them */
} words;

/* A whole number of at most three digits at *at, which moves behind it; -1 where there is none. */
static int read_number(const char **at)
{
    int value = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 3; (*at)++, digits++)
        value = 10 * value + (**at - '0');
    return digits ? value : -1;
}

/* Only digits behind the last slash make it a division; names may hold slashes. */
static mf_status read_words(const char *text, size_t length, words *w)
{
    *w = (words){.part = -1};
    if (length >= sizeof w->name)
        return mf_fail(MF_INVALID, "a device's name has at most %zu letters", sizeof w->name - 1);
    memcpy(w->name, text, length);
    char *slash = strrchr(w->name, '/');
    if (!slash)
        return MF_OK;
    const char *at = slash + 1;
    int parts = read_number(&at), part = -1;
    if (parts >= 0 && *at == '.') {
        at++;
        part = read_number(&at);
        if (part < 0)
            return MF_OK;
    }
    if (parts < 0 || *at)
        return MF_OK;
    if (parts == 0)
        return mf_fail(MF_INVALID, "a device can't be cut in 0 parts");
    *slash = 0;
    w->parts = parts;
    w->part = part;
    return MF_OK;
}

static bool means(const mf_found_device *list, size_t i, const char *name)
{
    char *end;
    long index = strtol(name, &end, 10);
    if (!*name)
        return true;
    if (!*end)
        return index >= 0 && (size_t)index == i;
    if (!strcasecmp(name, "cpu") || !strcasecmp(name, "gpu"))
        return list[i].info.is_cpu == !strcasecmp(name, "cpu");
    return strcasestr(list[i].info.name, name) != NULL;
}

static mf_status nothing_found(const mf_found_device *list, size_t count, const char *name)
{
    char names[1024] = "";
    for (size_t i = 0, at = 0; i < count && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%zu: %s", i ? "; " : "", i,
                               list[i].info.name);
    return mf_hint(mf_fail(MF_NOT_FOUND, "no OpenCL device matches \"%s\"", name), "there is %s",
                   names);
}

typedef struct opened {
    mf_device **list; /* room for MOST_DEVICES */
    size_t count;
} opened;

static mf_status add_device(opened *o, const mf_found_device *list, size_t index, int parts,
                            int part)
{
    mf_device *device;
    if (o->count == MOST_DEVICES)
        return mf_fail(MF_INVALID, "at most %d devices can be used at once", MOST_DEVICES);
    MF_TRY(mf_device_new(list, index, parts, part, &device));
    o->list[o->count++] = device;
    for (size_t i = 0; i + 1 < o->count; i++)
        if (!strcmp(o->list[i]->text, device->text))
            return mf_fail(MF_INVALID, "device %s (%s) is chosen twice", device->text,
                           device->info.name);
    return MF_OK;
}

static mf_status add_parts(opened *o, const mf_found_device *list, size_t index, const words *w)
{
    if (w->part >= 0 || !w->parts)
        return add_device(o, list, index, w->parts, w->part);
    for (int i = 0; i < w->parts; i++)
        MF_TRY(add_device(o, list, index, w->parts, i));
    return MF_OK;
}

static mf_status add_words(opened *o, const mf_found_device *list, size_t count, const words *w)
{
    bool gpus = !strcasecmp(w->name, "gpus"), all = gpus || !strcasecmp(w->name, "all");
    size_t before = o->count;
    for (size_t i = 0; i < count; i++) {
        if (all ? (gpus && list[i].info.is_cpu) || list[i].info.same_as >= 0
                : !means(list, i, w->name))
            continue;
        MF_TRY(add_parts(o, list, i, w));
        if (!all)
            break;
    }
    return o->count > before ? MF_OK : nothing_found(list, count, w->name);
}

static mf_status add_all(opened *o, const mf_found_device *list, size_t count, const char *which)
{
    for (const char *at = which;; at++) {
        words w;
        size_t length = strcspn(at, ",");
        MF_TRY(read_words(at, length, &w));
        MF_TRY(add_words(o, list, count, &w));
        at += length;
        if (!*at)
            return MF_OK;
    }
}

mf_status mf_devices_open(const char *which, mf_device ***devices, size_t *count)
{
    mf_found_device *found;
    size_t found_count;
    *devices = NULL;
    *count = 0;
    MF_TRY(mf_devices_find(&found, &found_count));
    opened o = {.list = calloc(MOST_DEVICES, sizeof *o.list)};
    mf_status status = o.list ? add_all(&o, found, found_count, which ? which : "")
                              : mf_no_memory(0, "the list of devices");
    free(found);
    if (status) {
        while (o.count)
            mf_device_unref(o.list[--o.count]);
        free(o.list);
        return status;
    }
    *devices = o.list;
    *count = o.count;
    return MF_OK;
}

mf_status mf_device_open(const char *which, mf_device **device)
{
    mf_device **list;
    size_t count;
    *device = NULL;
    MF_TRY(mf_devices_open(which, &list, &count));
    if (count == 1)
        *device = list[0];
    for (size_t i = 0; !*device && i < count; i++)
        mf_device_unref(list[i]);
    free(list);
    return *device
               ? MF_OK
               : mf_fail(MF_INVALID, "\"%s\" means %zu devices where one is wanted", which, count);
}
