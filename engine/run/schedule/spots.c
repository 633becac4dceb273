/* spots.c - see spots.h. */
#include "run/schedule/spots.h"

#include <stdlib.h>
#include <string.h>

void mf_spots_clear(mf_spots *s)
{
    for (size_t p = 0; p < s->count; p++) {
        free(s->items[p].device_busy);
        free(s->items[p].can);
    }
    free(s->items);
    free(s->kept);
    free(s->freed);
    *s = (mf_spots){0};
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void unlist(mf_spots *s, size_t place)
{
    mf_spot *p = &s->items[place];
    size_t at = 0;

    if (!p->level)
        return;
    if (p->level > 0) {
        if (p->previous == MF_SPOT_NONE)
            s->first[p->level] = p->next;
        else
            s->items[p->previous].next = p->next;
        if (p->next != MF_SPOT_NONE)
            s->items[p->next].previous = p->previous;
        if (s->first[p->level] == MF_SPOT_NONE)
            s->levels &= ~((uint64_t)1 << (p->level - 1));
    } else {
        while (s->kept[at] != place)
            at++;
        s->kept[at] = s->kept[--s->kept_count];
    }
    p->level = 0;
}

void mf_spots_list(mf_spots *s, size_t place)
{
    mf_spot *p = &s->items[place];
    int open = p->is.slots - p->slots_used;
    int level = !p->is.open || open <= 0 ? 0
                : p->keeper              ? -1
                : open > MF_SPOT_LEVELS  ? MF_SPOT_LEVELS
                                         : open;

    if (level == p->level)
        return;
    unlist(s, place);
    p->level = level;
    if (level < 0)
        s->kept[s->kept_count++] = place;
    if (level <= 0)
        return;
    p->previous = MF_SPOT_NONE;
    p->next = s->levels >> (level - 1) & 1 ? s->first[level] : MF_SPOT_NONE;
    if (p->next != MF_SPOT_NONE)
        s->items[p->next].previous = place;
    s->first[level] = place;
    s->levels |= (uint64_t)1 << (level - 1);
}

int mf_spots_level(const mf_spots *s, int level)
{
    uint64_t below = level >= MF_SPOT_LEVELS ? s->levels
                     : level < 1             ? 0
                                             : s->levels & (((uint64_t)1 << level) - 1);

    return below ? 64 - __builtin_clzll(below) : 0;
}

void mf_spots_free(mf_spots *s, size_t place)
{
    mf_spot *p = &s->items[place];

    s->frees++;
    if (p->freed)
        return;
    p->freed = true;
    s->freed[s->freed_count++] = place;
}

void mf_spots_forget_freed(mf_spots *s)
{
    for (size_t k = 0; k < s->freed_count; k++)
        s->items[s->freed[k]].freed = false;
    s->freed_count = 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static mf_status make_room(mf_spots *s, size_t count)
{
    mf_spot *items = realloc(s->items, count * sizeof *items);
    size_t *kept, *freed;

    if (!items)
        return mf_no_memory(0, "%zu places", count);
    s->items = items;
    kept = realloc(s->kept, count * sizeof *kept);
    s->kept = kept ? kept : s->kept;
    freed = realloc(s->freed, count * sizeof *freed);
    s->freed = freed ? freed : s->freed;
    return kept && freed ? MF_OK : mf_no_memory(0, "%zu places", count);
}

static mf_status size_devices(mf_spot *p, size_t before, size_t count)
{
    bool *busy;

    if (count <= before)
        return MF_OK;
    busy = realloc(p->device_busy, count * sizeof *busy);
    if (!busy)
        return mf_no_memory(0, "the list of devices");
    memset(busy + before, 0, (count - before) * sizeof *busy);
    p->device_busy = busy;
    return MF_OK;
}

static bool same(const mf_run_place *a, const mf_run_place *b)
{
    return !strcmp(a->name, b->name) && !strcmp(a->pool, b->pool) && a->slots == b->slots &&
           a->bytes == b->bytes && a->device_count == b->device_count &&
           !(a->ends < b->ends || a->ends > b->ends) && a->open == b->open;
}

static mf_status look(mf_spots *s, size_t place, mf_run_place now, size_t stages,
                      void (*unkeep)(mf_job *keeper), bool *changed)
{
    mf_spot *p = &s->items[place];

    if (p->can && same(&p->is, &now))
        return MF_OK;
    *changed = true;
    if (!p->can)
        p->can = malloc(stages ? stages : 1);
    if (!p->can)
        return mf_no_memory(0, "a place");
    memset(p->can, 0, stages ? stages : 1);
    MF_TRY(size_devices(p, p->is.device_count, now.device_count));
    p->is = now;
    if (!now.open && p->keeper)
        unkeep(p->keeper);
    if (!now.open && p->device_keeper)
        unkeep(p->device_keeper);
    mf_spots_list(s, place);
    return MF_OK;
}

mf_status mf_spots_look(mf_spots *s, const mf_executor *e, int slots, size_t bytes, size_t stages,
                        void (*unkeep)(mf_job *keeper), bool *changed)
{
    size_t count = e->place_count(e->self);

    *changed = false;
    if (count > s->count)
        MF_TRY(make_room(s, count));
    for (; s->count < count; s->count++)
        s->items[s->count] = (mf_spot){0};
    for (size_t i = 0; i < count; i++) {
        mf_run_place now;
        e->place(e->self, i, &now);
        if (i == 0) {
            now.slots = slots;
            now.bytes = bytes;
            now.device_count = s->items[0].is.device_count; /* mf_spots_open_devices */
        }
        MF_TRY(look(s, i, now, stages, unkeep, changed));
    }
    return MF_OK;
}

mf_status mf_spots_open_devices(mf_spots *s, size_t count)
{
    mf_spot *p = &s->items[0];

    MF_TRY(size_devices(p, p->is.device_count, count));
    p->is.device_count = count;
    return MF_OK;
}
