/* pilot_made.c - what nodes made, kept for a run that was lost before it had it. See
 * pilot_private.h.
 *
 * A run that is started again asks for the same keys. A result is named by its key alone, so it
 * does not matter which run it was made for. */
#include "run/remote/pilot_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first `most` pieces. */
static void unpin(mf_pilot *p, const mf_pilot_result *r, size_t most)
{
    for (size_t i = 0; i < r->count; i++) {
        const mf_parcel *parcel = r->parcels[i];
        for (size_t k = 0; parcel && k < parcel->count && most; k++, most--)
            mf_chunk_cache_unpin(p->chunk_cache, parcel->pieces[k].digest);
    }
}

void mf__pilot_clear_result(mf_pilot *p, mf_pilot_result *r)
{
    if (r->pinned)
        unpin(p, r, SIZE_MAX);
    for (size_t i = 0; i < r->count; i++)
        mf_parcel_free(r->parcels[i]);
    free(r->parcels);
    *r = (mf_pilot_result){0};
}

void mf__pilot_remember(mf_pilot_job *j, bool delivered)
{
    mf_pilot *p = j->pilot;
    mf_pilot_result oldest;

    if (delivered) { /* it may go: the folder has to hold what others need */
        unpin(p, &j->result, SIZE_MAX);
        j->result.pinned = false;
    }
    pthread_mutex_lock(&p->lock);
    memcpy(j->result.key, j->key, sizeof j->key);
    if (mf__pilot_wants_device(j))
        snprintf(j->result.device, sizeof j->result.device, "%s",
                 p->hello.devices[j->devices.index[0]].info.name);
    oldest = p->made[p->made_next];
    p->made[p->made_next] = j->result;
    p->made_next = (p->made_next + 1) % MF_PILOT_MADE;
    j->result = (mf_pilot_result){0};
    pthread_mutex_unlock(&p->lock);
    mf__pilot_clear_result(p, &oldest);
}

/* A result is recorded with the name of the device that made it. */
static bool is_of(const mf_pilot_job *j, const mf_pilot_result *r)
{
    const char *device =
        mf__pilot_wants_device(j) ? j->pilot->hello.devices[j->devices.index[0]].info.name : "";

    return r->parcels && !strcmp(r->key, j->key) && !strcmp(r->device, device) &&
           r->count == mf_frozen_work(j->frozen)->out_count;
}

/* Sound, and pinned. */
static bool pin_piece(mf_pilot *p, const uint8_t digest[MF_DIGEST_BYTES], bool pin)
{
    mf_chunk chunk;
    bool found = false;
    mf_status status = mf_chunk_cache_get(p->chunk_cache, digest, &chunk, &found);

    if (!status && found && pin)
        status = mf__pilot_keep(p, digest, &chunk, true);
    mf_chunk_clear(&chunk);
    found &= !status;
    mf_error_free(status);
    return found;
}

/* Whether all of it is there: what was not pinned may have made room for others, and other programs
 * may have written to the folder. */
static bool pin_whole(mf_pilot *p, mf_pilot_result *r)
{
    size_t done = 0;

    for (size_t i = 0; i < r->count; i++) {
        const mf_parcel *parcel = r->parcels[i];
        for (size_t k = 0; parcel && k < parcel->count; k++, done++) {
            if (pin_piece(p, parcel->pieces[k].digest, !r->pinned))
                continue;
            if (!r->pinned)
                unpin(p, r, done);
            return false;
        }
    }
    r->pinned = true;
    return true;
}

bool mf__pilot_recall(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < MF_PILOT_MADE && !j->result.parcels; i++) {
        if (!is_of(j, &p->made[i]))
            continue;
        j->result = p->made[i];
        p->made[i] = (mf_pilot_result){0};
    }
    pthread_mutex_unlock(&p->lock);
    if (!j->result.parcels || pin_whole(p, &j->result))
        return j->result.parcels != NULL;
    mf__pilot_clear_result(p, &j->result);
    return false;
}

mf_status mf__pilot_list_made(mf_pilot *p)
{
    size_t room = MF_PILOT_MADE;

    pthread_mutex_lock(&p->lock);
    for (const mf_pilot_job *j = p->jobs; j; j = j->next)
        room++;
    free(p->hello.made);
    p->hello.made = calloc(room, sizeof *p->hello.made);
    p->hello.made_count = 0;
    for (size_t i = 0; i < MF_PILOT_MADE && p->hello.made; i++)
        if (p->made[i].parcels && mf_hex_decode(p->made[i].key, p->hello.made[p->hello.made_count]))
            p->hello.made_count++;
    for (const mf_pilot_job *j = p->jobs; j && p->hello.made; j = j->next)
        if (!j->dropped && p->hello.made_count < MF_HELLO_MADE &&
            mf_hex_decode(j->key, p->hello.made[p->hello.made_count]))
            p->hello.made_count++;
    pthread_mutex_unlock(&p->lock);
    return p->hello.made ? MF_OK : mf_no_memory(0, "what a worker has made");
}
