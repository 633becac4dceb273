/* work.c - a copy of a node's work, for threads that are not the plan's. */
#include "run/plan/work.h"

#include <stdlib.h>
#include <string.h>

void mf_work_free(mf_work *w)
{
    if (!w)
        return;
    for (size_t i = 0; w->feeds && i < w->feed_count; i++) {
        free(w->feeds[i].elements);
        mf_work_free((mf_work *)w->feeds[i].stream);
    }
    free(w->feeds);
    free((char *)w->state_key);
    free(w);
}

static mf_status copy_feed(const mf_feed *feed, mf_feed *copy)
{
    mf_work *stream;

    *copy = *feed;
    copy->elements = NULL;
    copy->stream = NULL;
    if (feed->elements) {
        copy->elements = calloc(feed->count ? feed->count : 1, sizeof *copy->elements);
        if (!copy->elements)
            return mf_no_memory(0, "%zu inputs", feed->count);
        if (feed->count)
            memcpy(copy->elements, feed->elements, feed->count * sizeof *copy->elements);
    }
    if (feed->stream) {
        MF_TRY(mf_work_copy(feed->stream, &stream));
        copy->stream = stream;
    }
    return MF_OK;
}

static mf_status fill(const mf_work *work, mf_work *w)
{
    *w = *work;
    w->feeds = calloc(work->feed_count ? work->feed_count : 1, sizeof *w->feeds);
    w->state_key = strdup(work->state_key);
    if (!w->feeds || !w->state_key)
        return mf_no_memory(0, "starting %s", work->node);
    for (size_t i = 0; i < work->feed_count; i++)
        MF_TRY(copy_feed(&work->feeds[i], &w->feeds[i]));
    return MF_OK;
}

mf_status mf_work_copy(const mf_work *work, mf_work **copy)
{
    mf_work *w = calloc(1, sizeof *w);
    mf_status status;

    *copy = NULL;
    if (!w)
        return mf_no_memory(0, "starting %s", work->node);
    status = fill(work, w);
    if (status) {
        mf_work_free(w);
        return status;
    }
    *copy = w;
    return MF_OK;
}

size_t mf_work_ranks(const mf_work *w)
{
    const mf_param *p = w->stage->params;
    int64_t ranks;

    while (p && p->name && !(p->marks & MF_RANKS))
        p++;
    if (!p || !p->name || !w->params)
        return 1;
    memcpy(&ranks, (const char *)mf_params_struct(w->params) + p->offset, sizeof ranks);
    return ranks < 1 ? 1 : ranks > MF_WORK_RANKS ? MF_WORK_RANKS : (size_t)ranks;
}
