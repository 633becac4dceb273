/* no_place.c - why no place can run a node or a stage, in words. */
#include "run/schedule/suits.h"

#include <stdio.h>
#include <stdlib.h>

#define NAMED 4 /* places in a message */

/* Of a place that is open or may come. `j`: NULL where nothing is known of the node's needs. */
static void put_reason(mf_runner *r, FILE *out, size_t i, const mf_job *j, size_t place,
                       const mf_run_place *p)
{
    const char *why = mf_place_why_not(r, i, place, p);
    bool here = place == 0, there = place != MF_PLACE_TO_COME;
    bool device = mf_work_wants_device(&mf_plan_at(r->plan, i)->work);
    double left = there ? p->ends - r->clock() : p->ends;
    const char *have = there ? "has" : "have";
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (here)
        fprintf(out, "this process ");
    else if (there)
        fprintf(out, "%s ", p->name);
    else if (*p->pool)
        fprintf(out, "workers of pool %s ", p->pool);
    else
        fprintf(out, "workers that may join ");
    if (here && ranks > 1)
        fprintf(out, "is none");
    else if (!there && ranks > 1 && !why && p->most && p->most < ranks)
        fprintf(out, "can be %zu", p->most);
    else if (there && ranks > 1 && mf_place_takes(r, i, place, device) &&
             (!j || mf_place_would_fit(r, j, place)))
        fprintf(out, "is one");
    else if (here && r->options->no_local && !mf_only_here(r, i))
        fprintf(out, "has no slots");
    else if (why)
        fprintf(out, "can't: %s", why);
    else if (device && !p->device_count)
        fprintf(out, "%s no device", have);
    else if (j && place != MF_PLACE_TO_COME && !mf_place_has_devices(r, j, place))
        fprintf(out, "%s %zu devices of one kind, and it needs %zu", have,
                mf_place_most_alike(r, j, place), mf_job_device_count(j));
    else if (j && j->expects > 0 && j->expects > left)
        fprintf(out, "%s %.0f s%s, and it takes %.0f s", have, left > 0 ? left : 0,
                there ? " left" : "", j->expects);
    else if (j)
        fprintf(out, "%s %.1f GiB of memory, and it needs %.1f GiB", have,
                (double)p->bytes / (1 << 30), (double)j->needs.host_bytes / (1 << 30));
    else
        fprintf(out, "can't");
}

/* From place `first` on, the last of them before `end`: those that may come lie behind the others.
 */
static char *reasons(mf_runner *r, size_t i, const mf_job *j, size_t first, size_t end)
{
    char *text = NULL;
    size_t size, named = 0, more = 0;
    FILE *out = open_memstream(&text, &size);
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (!out)
        return NULL;
    for (size_t k = first; k < end; k++) {
        bool there = k < r->spots.count;
        const mf_run_place *p = there ? &r->spots.items[k].is : &r->may_come[k - r->spots.count];
        if (there && !p->open)
            continue;
        if (named == NAMED) {
            more++;
            continue;
        }
        if (ranks > 1 && !named)
            fprintf(out, "it needs %zu workers%s at the same time: ", ranks,
                    j && j->needs.device ? " with devices of one kind" : "");
        fprintf(out, "%s", named++ ? "; " : "");
        put_reason(r, out, i, j, there ? k : MF_PLACE_TO_COME, p);
    }
    if (more)
        fprintf(out, "; and %zu more", more);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static char *all_reasons(mf_runner *r, size_t i, const mf_job *j)
{
    return reasons(r, i, j, 0, r->spots.count + r->may_come_count);
}

char *mf_runner_why_waits(mf_runner *r, const mf_job *j)
{
    char *text = reasons(r, j->index, j, 1, r->spots.count);

    if (text && *text)
        return text;
    free(text);
    return NULL;
}

/* `j`: NULL where nothing is known of the node's needs. */
static mf_status with_hint(const mf_runner *r, size_t i, const mf_job *j, mf_status status)
{
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (ranks > 1)
        return mf_hint(
            status,
            "connect %zu workers (--listen) or name pools that may have so many (--pool),"
            " or lower `ranks`; `devices` takes several devices of one machine",
            ranks);
    if (j && j->needs.device && mf_job_device_count(j) > 1)
        return mf_hint(status,
                       "choose %zu devices of one kind with --device (such as gpus, or cpu/%zu), "
                       "or lower `devices`",
                       mf_job_device_count(j), mf_job_device_count(j));
    return mf_hint(status, r->options->no_local
                               ? "give this process slots (--local 1), or connect workers or name "
                                 "pools that can run it"
                               : "connect workers or name pools that can run it");
}

mf_status mf_runner_no_place(mf_runner *r, const mf_job *j)
{
    char *text = all_reasons(r, j->index, j);
    mf_status status =
        text ? mf_fail(MF_UNSUPPORTED, "no place can run it: %s", text) : mf_no_memory(0, "a run");

    free(text);
    return with_hint(r, j->index, j, status);
}

/* A node of the stage that is to be run, or may have to be; the plan's count where there is none.
 */
static size_t to_come(const mf_runner *r, const mf_graph_stage *s)
{
    for (size_t i = s->first; i < s->first + s->count; i++) {
        mf_plan_state state = mf_plan_at(r->plan, i)->state;
        if (state == MF_PLAN_TO_RUN || state == MF_PLAN_WAITING)
            return i;
    }
    return mf_plan_count(r->plan);
}

static bool has_place(mf_runner *r, size_t i)
{
    bool device = mf_work_wants_device(&mf_plan_at(r->plan, i)->work);

    if (mf_work_ranks(&mf_plan_at(r->plan, i)->work) > 1)
        return mf_gang_has_places(r, i);
    for (size_t p = 0; p < r->spots.count; p++)
        if (mf_place_takes(r, i, p, device))
            return true;
    for (size_t k = 0; k < r->may_come_count; k++)
        if (mf_kind_takes(r, i, k, device))
            return true;
    return false;
}

static mf_status check_isolated(const mf_runner *r, size_t i, const mf_graph_stage *s)
{
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (ranks == 1 || !s->limits.isolate)
        return MF_OK;
    return mf_hint(
        mf_fail(MF_UNSUPPORTED,
                "stage '%s' (%s): ranks is %zu, and isolate is true: a process of its own "
                "has no way to the other workers",
                s->label, s->stage->name, ranks),
        "remove 'isolate', or set ranks to 1");
}

mf_status mf_runner_check_places(mf_runner *r)
{
    for (size_t g = 0; g < mf_graph_stage_count(mf_plan_graph(r->plan)); g++) {
        const mf_graph_stage *s = mf_graph_stage_at(mf_plan_graph(r->plan), g);
        size_t i = s->stage->item ? mf_plan_count(r->plan) : to_come(r, s);
        char *text;
        mf_status status;
        if (i == mf_plan_count(r->plan))
            continue;
        if (mf_plan_at(r->plan, i)->state == MF_PLAN_WAITING)
            mf_plan_preview(r->plan, i); /* the streams that it reads run with it */
        MF_TRY(check_isolated(r, i, s));
        if (has_place(r, i))
            continue;
        text = all_reasons(r, i, NULL);
        status = text ? mf_fail(MF_UNSUPPORTED, "no place can run stage '%s' (%s): %s", s->label,
                                s->stage->name, text)
                      : mf_no_memory(0, "a run");
        free(text);
        return with_hint(r, i, NULL, status);
    }
    return MF_OK;
}
