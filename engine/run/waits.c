/* waits.c - nodes that another process on the same cache is running now. */
#include "run/waits.h"

#include <stdlib.h>

/* Seconds between two lines about the same wait. */
#define TELL_EVERY 60

void mf_waits_clear(mf_waits *waits)
{
    free(waits->items);
    *waits = (mf_waits){0};
}

mf_wait *mf_waits_find(mf_waits *waits, size_t index)
{
    for (size_t i = 0; i < waits->count; i++) {
        if (waits->items[i].index == index)
            return &waits->items[i];
    }
    return NULL;
}

mf_wait *mf_waits_need(mf_waits *waits, size_t index)
{
    mf_wait *found = mf_waits_find(waits, index);

    if (found)
        return found;
    if (waits->count == waits->room) {
        size_t room = waits->room ? 2 * waits->room : 16;
        mf_wait *grown = realloc(waits->items, room * sizeof *grown);
        if (!grown)
            return NULL;
        waits->items = grown;
        waits->room = room;
    }
    waits->items[waits->count] = (mf_wait){.index = index};
    return &waits->items[waits->count++];
}

bool mf_waits_any(const mf_waits *waits)
{
    for (size_t i = 0; i < waits->count; i++) {
        if (waits->items[i].waiting)
            return true;
    }
    return false;
}

bool mf_wait_seen(mf_wait *wait, const mf_lease_owner *owner, double now)
{
    bool begins = !wait->waiting;

    if (begins || wait->heartbeat != owner->heartbeat) {
        wait->heartbeat = owner->heartbeat;
        wait->changed = now;
    } else if (now - wait->changed >= MF_LEASE_PATIENCE) {
        wait->dead = owner->heartbeat; /* counts only for an owner on another machine */
    }
    wait->waiting = true;
    if (!begins && now - wait->told < TELL_EVERY)
        return false;
    wait->told = now;
    return true;
}
