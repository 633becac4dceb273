/* rate.c - see rate.h. */
#include "rate.h"

static rate_start *find(rates *r, const mf_run_active *a, double done)
{
    rate_start *start = r->starts;
    rate_start *const end = r->starts + sizeof r->starts / sizeof *r->starts;

    /* A further try begins anew. */
    while (start < end &&
           (start->node != a->node || start->seconds > a->seconds || start->done > done))
        start++;
    if (start < end)
        return start;
    start = &r->starts[r->next++ % (sizeof r->starts / sizeof *r->starts)];
    *start = (rate_start){a->node, a->seconds, done, 0, -1};
    return start;
}

bool rate_of(rates *r, const mf_run_active *a, double *rate, double *left)
{
    double done = (double)a->state.done + a->state.part, since, from;
    rate_start *s;

    if (a->state.total <= 0)
        return false;
    s = find(r, a, done);
    if (s->later_done < 0 && done > s->done) {
        s->later_done = done;
        s->later_seconds = a->seconds;
    }
    from = done > s->later_done && s->later_done >= 0 ? s->later_done : s->done;
    since = from == s->later_done && s->later_done >= 0 ? s->later_seconds : s->seconds;
    if (!(a->seconds > since) || !(done > from))
        return false;
    *rate = (done - from) / (a->seconds - since);
    *left = ((double)a->state.total - done) / *rate;
    return true;
}
