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

/* The bit that says whether the list has any. */
static uint64_t *bits_of(mf_spots *s, int level, uint64_t *bit)
{
    *bit = (uint64_t)1 << ((level - 1) % MF_SPOT_LEVELS);
    return level > MF_SPOT_LEVELS ? &s->ahead_levels : &s->levels;
}

static void unlist(mf_spots *s, size_t place)
{
    mf_spot *p = &s->items[place];
    size_t at = 0;
    uint64_t bit, *bits;

    if (!p->level)
        return;
    if (p->level > 0) {
        if (p->previous == MF_SPOT_NONE)
            s->first[p->level] = p->next;
        else
            s->items[p->previous].next = p->next;
        if (p->next != MF_SPOT_NONE)
            s->items[p->next].previous = p->previous;
        bits = bits_of(s, p->level, &bit);
        if (s->first[p->level] == MF_SPOT_NONE)
            *bits &= ~bit;
    } else {
        while (s->kept[at] != place)
            at++;
        s->kept[at] = s->kept[--s->kept_count];
    }
    p->level = 0;
}

static int level_of(const mf_spot *p)
{
    int open = p->is.slots - p->slots_used;

    if (!p->is.open)
        return 0;
    if (open > 0 && p->keeper)
        return -1;
    if (open > 0)
        return open > MF_SPOT_LEVELS ? MF_SPOT_LEVELS : open;
    if (p->keeper || p->is.ahead <= p->ahead_count)
        return 0;
    const size_t room = p->is.ahead - p->ahead_count;
    return MF_SPOT_LEVELS + (room > MF_SPOT_AHEAD ? MF_SPOT_AHEAD : (int)room);
}

void mf_spots_list(mf_spots *s, size_t place)
{
    mf_spot *p = &s->items[place];
    int level = level_of(p);
    uint64_t bit, *bits;

    if (level == p->level)
        return;
    unlist(s, place);
    p->level = level;
    if (level < 0)
        s->kept[s->kept_count++] = place;
    if (level <= 0)
        return;
    bits = bits_of(s, level, &bit);
    p->previous = MF_SPOT_NONE;
    p->next = *bits & bit ? s->first[level] : MF_SPOT_NONE;
    if (p->next != MF_SPOT_NONE)
        s->items[p->next].previous = place;
    s->first[level] = place;
    *bits |= bit;
}

/* The highest bit of the first `count`, counted from 1; 0: none is set. */
static int highest(uint64_t bits, int count)
{
    uint64_t below = count >= 64 ? bits : count < 1 ? 0 : bits & (((uint64_t)1 << count) - 1);

    return below ? 64 - __builtin_clzll(below) : 0;
}

int mf_spots_level(const mf_spots *s, int level)
{
    return highest(s->levels, level);
}

int mf_spots_ahead_level(const mf_spots *s, int level)
{
    int room = highest(s->ahead_levels, level - 1 - MF_SPOT_LEVELS);

    return room ? MF_SPOT_LEVELS + room : 0;
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
           a->bytes == b->bytes && a->device_count == b->device_count && a->ahead == b->ahead &&
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
