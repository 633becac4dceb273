/* kept_artifacts.c - the artifacts that pages look at, kept open for the requests that follow. */
#include "parts.h"

#include <string.h>

void desk_kept_drop(desk *d)
{
    for (size_t i = 0; i < DESK_KEPT; i++) {
        mf_artifact_unref(d->kept[i].artifact);
        d->kept[i] = (desk_kept){0};
    }
}

static mf_artifact *find_kept(desk *d, const char *id)
{
    mf_artifact *found = NULL;

    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < DESK_KEPT && !found; i++)
        if (d->kept[i].artifact && !strcmp(d->kept[i].id, id)) {
            d->kept[i].used = ++d->used;
            found = mf_artifact_ref(d->kept[i].artifact);
        }
    pthread_mutex_unlock(&d->lock);
    return found;
}

/* In the place of the one that nobody asked for longest. */
static void keep(desk *d, mf_artifact *a)
{
    desk_kept *place = d->kept;
    const char *id = mf_artifact_id(a);

    if (!id || strlen(id) >= sizeof place->id)
        return;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 1; i < DESK_KEPT; i++)
        if (d->kept[i].used < place->used)
            place = &d->kept[i];
    mf_artifact *old = place->artifact;
    *place = (desk_kept){.artifact = mf_artifact_ref(a), .used = ++d->used};
    strcpy(place->id, id);
    pthread_mutex_unlock(&d->lock);
    mf_artifact_unref(old);
}

mf_status desk_artifact_of_id(desk *d, const char *id, mf_artifact **artifact)
{
    mf_workspace *w;

    *artifact = find_kept(d, id);
    if (*artifact)
        return MF_OK;
    MF_TRY(desk_workspace(d, &w));
    mf_status status = mf_workspace_artifact_of_id(w, id, artifact);
    mf_workspace_close(w);
    if (!status)
        keep(d, *artifact);
    return status;
}

mf_status desk_artifact(const desk_request *q, mf_artifact **artifact)
{
    const char *id = desk_query(q, "id"), *node;
    mf_workspace *w;

    *artifact = NULL;
    if (id)
        return desk_artifact_of_id(q->desk, id, artifact);
    MF_TRY(desk_query_text(q, "node", &node));
    MF_TRY(desk_workspace(q->desk, &w));
    mf_status status = mf_workspace_artifact(w, node, artifact);
    mf_workspace_close(w);
    return status;
}
