/* waits.c - nodes that another process on the same cache is running now. */
#include "run/schedule/waits.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

/* Seconds between two lines about the same wait. */
#define TELL_EVERY 60

void mf_waits_clear(mf_waits *waits)
{
    free(waits->items);
    free(waits->places);
    *waits = (mf_waits){0};
}

mf_wait *mf_waits_find(const mf_waits *waits, size_t index)
{
    size_t place = index < waits->place_room ? waits->places[index] : 0;

    return place ? &waits->items[place - 1] : NULL;
}

static bool make_room(mf_waits *waits, size_t index)
{
    mf_wait *items = mf_list_more(waits->items, waits->count, sizeof *items);

    if (!items)
        return false;
    waits->items = items;
    if (index >= waits->place_room) {
        size_t room = 2 * index + 16;
        size_t *grown = realloc(waits->places, room * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + waits->place_room, 0, (room - waits->place_room) * sizeof *grown);
        waits->places = grown;
        waits->place_room = room;
    }
    return true;
}

mf_wait *mf_waits_need(mf_waits *waits, size_t index)
{
    mf_wait *found = mf_waits_find(waits, index);

    if (found)
        return found;
    if (!make_room(waits, index))
        return NULL;
    waits->items[waits->count] = (mf_wait){.index = index};
    waits->places[index] = ++waits->count;
    return &waits->items[waits->count - 1];
}

bool mf_waits_any(const mf_waits *waits)
{
    return waits->waiting > 0;
}

void mf_wait_over(mf_waits *waits, mf_wait *wait)
{
    waits->waiting -= wait->waiting;
    wait->waiting = false;
}

bool mf_wait_seen(mf_waits *waits, mf_wait *wait, const mf_lease_owner *owner, double now)
{
    bool begins = !wait->waiting;

    if (begins || wait->heartbeat != owner->heartbeat) {
        wait->heartbeat = owner->heartbeat;
        wait->changed = now;
    } else if (now - wait->changed >= MF_LEASE_TIMEOUT) {
        wait->dead = owner->heartbeat; /* counts only for an owner on another machine */
    }
    waits->waiting += begins;
    wait->waiting = true;
    if (!begins && now - wait->told < TELL_EVERY)
        return false;
    wait->told = now;
    return true;
}
