/* hello.c - what a worker says of itself, to a message and back. See hello.h. */
#include "run/remote/hello.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_ORDER_MARK INT64_C(0x0102030405060708)
#define MOST_DEVICES 64
#define MOST_SLOTS 4096

mf_status mf_hello_fill(const mf_registry *registry, mf_hello *h)
{
    size_t count = mf_registry_count(registry);

    h->stages = calloc(count + 1, sizeof *h->stages);
    if (!h->stages)
        return mf_no_memory(0, "the stages of a worker");
    for (size_t i = 0; i < count; i++) {
        const mf_stage *stage = mf_registry_at(registry, i);
        mf_stage_code(stage, h->stages[i].code);
        h->stages[i].name = strdup(stage->name);
        h->stage_count++;
        if (!h->stages[i].name)
            return mf_no_memory(0, "the stages of a worker");
    }
    return MF_OK;
}

void mf_hello_clear(mf_hello *h)
{
    for (size_t i = 0; i < h->stage_count; i++)
        free(h->stages[i].name);
    free(h->stages);
    free(h->devices);
    free(h->made);
    *h = (mf_hello){0};
}

/* ---- putting --------------------------------------------------------------------------------- */

static void put_device(mf_packet *p, const mf_hello_device *d)
{
    const mf_device_info *i = &d->info;

    mf_packet_text(p, i->name);
    mf_packet_text(p, i->vendor);
    mf_packet_text(p, i->platform);
    mf_packet_text(p, i->version);
    mf_packet_text(p, i->driver);
    mf_packet_int(p, i->is_cpu);
    mf_packet_int(p, i->shares_host_memory);
    mf_packet_int(p, i->compute_units);
    mf_packet_int(p, (int64_t)i->memory);
    mf_packet_int(p, (int64_t)i->max_allocation);
    mf_packet_int(p, d->memory_of);
}

void mf_hello_put(mf_packet *p, const mf_hello *h)
{
    mf_packet_int(p, BYTE_ORDER_MARK);
    mf_packet_text(p, h->version);
    mf_packet_text(p, h->host);
    mf_packet_int(p, h->pid);
    mf_packet_int(p, h->start);
    mf_packet_int(p, h->random[0]);
    mf_packet_int(p, h->random[1]);
    mf_packet_text(p, h->pool);
    mf_packet_int(p, h->slots);
    mf_packet_int(p, h->bytes);
    mf_packet_int(p, h->group);
    mf_packet_int(p, h->group_rank);
    mf_packet_int(p, isfinite(h->ends) ? (int64_t)(fmax(h->ends, 0) * 1e3) : -1);
    mf_packet_int(p, (int64_t)h->device_count);
    for (size_t i = 0; i < h->device_count; i++)
        put_device(p, &h->devices[i]);
    mf_packet_int(p, (int64_t)h->stage_count);
    for (size_t i = 0; i < h->stage_count; i++) {
        mf_packet_text(p, h->stages[i].name);
        mf_packet_text(p, h->stages[i].code);
    }
    mf_packet_bytes(p, h->made, h->made_count * sizeof *h->made);
}

/* ---- getting --------------------------------------------------------------------------------- */

/* A text that is shown to people: one line, printable. */
static void get_name(mf_packet *p, char *to, size_t room)
{
    const char *text = mf_packet_get_text(p);

    to[0] = 0;
    for (const unsigned char *t = (const unsigned char *)text; t && *t; t++)
        p->failed |= *t < 0x20 || *t == 0x7f;
    p->failed |= !text || strlen(text) >= room;
    if (!p->failed)
        strcpy(to, text);
}

static void get_device(mf_packet *p, mf_hello_device *d, int64_t index)
{
    mf_device_info *i = &d->info;
    int64_t units, memory, allocation;

    get_name(p, i->name, sizeof i->name);
    get_name(p, i->vendor, sizeof i->vendor);
    get_name(p, i->platform, sizeof i->platform);
    get_name(p, i->version, sizeof i->version);
    get_name(p, i->driver, sizeof i->driver);
    i->is_cpu = mf_packet_get_int(p) != 0;
    i->shares_host_memory = mf_packet_get_int(p) != 0;
    units = mf_packet_get_int(p);
    memory = mf_packet_get_int(p);
    allocation = mf_packet_get_int(p);
    d->memory_of = mf_packet_get_int(p);
    i->same_as = -1;
    p->failed |= units < 0 || units > INT32_MAX || memory < 0 || allocation < 0 ||
                 d->memory_of < 0 || d->memory_of > index;
    i->compute_units = p->failed ? 0 : (int)units;
    i->memory = p->failed ? 0 : (size_t)memory;
    i->max_allocation = p->failed ? 0 : (size_t)allocation;
}

static mf_status get_devices(mf_packet *p, mf_hello *h)
{
    size_t count = mf_packet_get_count(p);

    p->failed |= count > MOST_DEVICES;
    MF_TRY(mf_packet_check(p));
    h->devices = calloc(count + 1, sizeof *h->devices);
    if (!h->devices)
        return mf_no_memory(0, "the devices of a worker");
    for (; h->device_count < count; h->device_count++)
        get_device(p, &h->devices[h->device_count], (int64_t)h->device_count);
    return mf_packet_check(p);
}

static mf_status get_stages(mf_packet *p, mf_hello *h)
{
    size_t count = mf_packet_get_count(p);

    /* A stage takes two lengths and two ends of texts. */
    p->failed |= count > (p->size - p->at) / 18;
    MF_TRY(mf_packet_check(p));
    h->stages = calloc(count + 1, sizeof *h->stages);
    if (!h->stages)
        return mf_no_memory(0, "the stages of a worker");
    for (; h->stage_count < count && !p->failed; h->stage_count++) {
        mf_hello_stage *s = &h->stages[h->stage_count];
        const char *name = mf_packet_get_text(p);
        get_name(p, s->code, sizeof s->code);
        p->failed |= !name || (h->stage_count && strcmp(s[-1].name, name) >= 0);
        if (!p->failed && !(s->name = strdup(name)))
            return mf_no_memory(0, "the stages of a worker");
        if (p->failed)
            break;
    }
    return mf_packet_check(p);
}

static mf_status get_made(mf_packet *p, mf_hello *h)
{
    size_t size;
    const void *bytes = mf_packet_get_bytes(p, &size);

    p->failed |= size % sizeof *h->made || size / sizeof *h->made > MF_HELLO_MADE;
    MF_TRY(mf_packet_check(p));
    if (!size)
        return MF_OK;
    h->made = malloc(size);
    if (!h->made)
        return mf_no_memory(size, "what a worker has made");
    memcpy(h->made, bytes, size);
    h->made_count = size / sizeof *h->made;
    return MF_OK;
}

static mf_status get_all(mf_packet *p, const char *version, mf_hello *h)
{
    int64_t ends;

    if (mf_packet_get_int(p) != BYTE_ORDER_MARK)
        return mf_fail(MF_UNSUPPORTED, "its machine has another byte order");
    get_name(p, h->version, sizeof h->version);
    MF_TRY(mf_packet_check(p));
    if (strcmp(h->version, version))
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "it is massflow %s, this is %s", h->version, version),
            "use the same version of massflow on all machines");
    get_name(p, h->host, sizeof h->host);
    h->pid = mf_packet_get_int(p);
    h->start = mf_packet_get_int(p);
    h->random[0] = mf_packet_get_int(p);
    h->random[1] = mf_packet_get_int(p);
    get_name(p, h->pool, sizeof h->pool);
    h->slots = mf_packet_get_int(p);
    h->bytes = mf_packet_get_int(p);
    h->group = mf_packet_get_int(p);
    h->group_rank = mf_packet_get_int(p);
    ends = mf_packet_get_int(p);
    h->ends = ends < 0 ? INFINITY : (double)ends * 1e-3;
    p->failed |= h->slots < 1 || h->slots > MOST_SLOTS || h->bytes < 0 || h->group_rank < 0 ||
                 h->group_rank > INT32_MAX;
    MF_TRY(mf_packet_check(p));
    MF_TRY(get_devices(p, h));
    MF_TRY(get_stages(p, h));
    MF_TRY(get_made(p, h));
    p->failed |= p->at != p->size;
    return mf_packet_check(p);
}

mf_status mf_hello_get(mf_packet *p, const char *version, mf_hello *h)
{
    *h = (mf_hello){0};
    mf_status status = get_all(p, version, h);

    if (status)
        mf_hello_clear(h);
    return status;
}

static int by_name(const void *key, const void *element)
{
    return strcmp(key, ((const mf_hello_stage *)element)->name);
}

const mf_hello_stage *mf_hello_find(const mf_hello *h, const char *name)
{
    return h->stage_count ? bsearch(name, h->stages, h->stage_count, sizeof *h->stages, by_name)
                          : NULL;
}
