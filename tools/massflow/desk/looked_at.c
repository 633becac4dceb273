/* looked_at.c - the results that Look has open: a few at a time, each by its content id. */
#include "look.h"
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN = 24 };
static const size_t most_kept = (size_t)768 << 20; /* bytes of slabs */

typedef struct desk_look desk_look;
struct desk_look {
    pthread_mutex_t lock; /* of what follows */
    desk_opened open[OPEN];
    uint64_t used;
    desk_slabs *slabs;
};

mf_status desk_look_new(desk_look **look)
{
    desk_look *l = calloc(1, sizeof *l);
    *look = NULL;
    if (!l)
        return mf_no_memory(sizeof *l, "the desk");
    mf_status status = desk_slabs_new(most_kept, &l->slabs);
    if (status) {
        free(l);
        return status;
    }
    pthread_mutex_init(&l->lock, NULL);
    *look = l;
    return MF_OK;
}

void desk_look_free(desk_look *l)
{
    if (!l)
        return;
    for (int i = 0; i < OPEN; i++)
        desk_source_free(l->open[i].source);
    desk_slabs_free(l->slabs);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* With the lock held: the place of that id, else the one that was not used for longest. NULL where
 * all are in use by other requests. */
static desk_opened *place_of(desk_look *l, const char *id)
{
    desk_opened *oldest = NULL;
    for (int i = 0; i < OPEN; i++) {
        desk_opened *o = l->open + i;
        if (o->source && !strcmp(o->id, id))
            return o;
        if (!o->users && (!oldest || o->used < oldest->used))
            oldest = o;
    }
    return oldest;
}

static mf_status open_there(const desk_request *q, const char *id, desk_opened *o)
{
    mf_artifact *artifact;
    desk_source_free(o->source);
    *o = (desk_opened){0};
    MF_TRY(desk_artifact(q, &artifact));
    mf_status status = desk_source_open(artifact, &o->source);
    mf_artifact_unref(artifact);
    if (!status)
        snprintf(o->id, sizeof o->id, "%s", id);
    return status;
}

mf_status desk_look_enter(const desk_request *q, desk_opened **got)
{
    desk_look *l = desk_of(q)->look;
    const char *id;
    mf_status status = MF_OK;
    *got = NULL;
    MF_TRY(desk_query_text(q, "id", &id));
    pthread_mutex_lock(&l->lock);
    desk_opened *o = place_of(l, id);
    if (!o)
        status = mf_fail(MF_NO_MEMORY, "more than %d results are looked at at once", OPEN);
    else if (!o->source || strcmp(o->id, id) != 0)
        status = open_there(q, id, o);
    if (!status) {
        o->users++;
        o->used = ++l->used;
        *got = o;
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}

void desk_look_leave(const desk_request *q, desk_opened *o)
{
    desk_look *l = desk_of(q)->look;
    pthread_mutex_lock(&l->lock);
    o->users--;
    pthread_mutex_unlock(&l->lock);
}

desk_slabs *desk_look_slabs(const desk_request *q)
{
    return desk_of(q)->look->slabs;
}

mf_status desk_look_json(desk_request *q, desk_reply *r,
                         mf_status (*fill)(const desk_source *s, json_object *o))
{
    desk_opened *of;
    MF_TRY(desk_look_enter(q, &of));
    json_object *o = json_object_new_object();
    mf_status status = fill(of->source, o);
    desk_look_leave(q, of);
    if (status) {
        json_object_put(o);
        return status;
    }
    desk_reply_json(r, o);
    desk_reply_lasting(r);
    return MF_OK;
}
