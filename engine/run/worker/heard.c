/* heard.c - lines and progress of a stage in another process. See heard.h. */
#include "run/worker/heard.h"

#include <string.h>

/* The name of the work or of a stream below it: log lines outlive the packet. */
static const char *name_of(const mf_work *work, const char *node)
{
    if (!strcmp(work->node, node))
        return work->node;
    for (size_t i = 0; i < work->feed_count; i++) {
        const char *found = work->feeds[i].stream ? name_of(work->feeds[i].stream, node) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

mf_status mf_heard_log(const mf_task *task, mf_packet *p, const char **node, const char **line)
{
    const char *name = mf_packet_get_text(p);

    *node = NULL;
    *line = mf_packet_get_text(p);
    p->failed |= !name || !*line;
    MF_TRY(mf_packet_check(p));
    *node = name_of(mf_task_work(task), name);
    if (!*node)
        *node = mf_task_work(task)->node;
    return MF_OK;
}

mf_status mf_heard_progress(mf_task *task, mf_packet *p)
{
    int64_t done = mf_packet_get_int(p), total = mf_packet_get_int(p), part = mf_packet_get_int(p);
    const char *words = mf_packet_get_text(p);

    MF_TRY(mf_packet_check(p));
    mf_progress(task, done, total, words);
    mf_progress_part(task, (double)part * 1e-6);
    return MF_OK;
}

bool mf_heard_put_progress(mf_packet *p, mf_task *task, mf_task_state *told)
{
    mf_task_state state;

    mf_task_device_progress(task, &state);
    if (state.done == told->done && state.total == told->total && state.part == told->part &&
        !strcmp(state.words, told->words))
        return false;
    *told = state;
    mf_packet_int(p, state.done);
    mf_packet_int(p, state.total);
    mf_packet_int(p, (int64_t)(state.part * 1e6));
    mf_packet_text(p, state.words);
    return true;
}
