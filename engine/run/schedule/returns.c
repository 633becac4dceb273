/* returns.c - see returns.h. */
#include "run/schedule/returns.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_returns_clear(mf_returns *returns)
{
    free(returns->items);
    *returns = (mf_returns){0};
}

/* The first that is not before it. */
static size_t lower_bound(const mf_returns *returns, size_t index)
{
    size_t low = 0, high = returns->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (returns->items[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const mf_return *mf_returns_find(const mf_returns *returns, size_t index)
{
    size_t at = lower_bound(returns, index);

    return at < returns->count && returns->items[at].index == index ? &returns->items[at] : NULL;
}

mf_status mf_returns_add(mf_returns *returns, size_t index, const char *place, double seconds,
                         mf_return_why why)
{
    size_t at = lower_bound(returns, index);
    mf_return *items, *r;

    if (at == returns->count || returns->items[at].index != index) {
        items = mf_list_more(returns->items, returns->count, sizeof *items);
        if (!items)
            return mf_no_memory(0, "nodes that came back");
        returns->items = items;
        memmove(items + at + 1, items + at, (returns->count - at) * sizeof *items);
        items[at] = (mf_return){.index = index};
        returns->count++;
    }
    r = &returns->items[at];
    if (why == MF_RETURN_QUEUED) /* it can't be the reason */
        return MF_OK;
    if (why == MF_RETURN_ENDED) {
        r->ran = seconds > r->ran ? seconds : r->ran;
        return MF_OK;
    }
    if (r->count < MF_RETURNS_MOST) {
        snprintf(r->at[r->count].place, sizeof r->at[0].place, "%s", place);
        r->at[r->count].seconds = seconds;
        r->at[r->count].why = why;
        r->count++;
    }
    r->lost += why == MF_RETURN_LOST;
    r->soon += why == MF_RETURN_LOST && seconds < MF_RETURN_SOON;
    r->full += why == MF_RETURN_FULL;
    return MF_OK;
}

void mf_returns_forgive(mf_returns *returns, const char *place)
{
    for (size_t i = 0; i < returns->count; i++) {
        mf_return *r = &returns->items[i];
        for (size_t k = r->count; k-- > 0;) {
            if (r->at[k].why != MF_RETURN_LOST || strcmp(r->at[k].place, place))
                continue;
            r->lost--;
            r->soon -= r->at[k].seconds < MF_RETURN_SOON;
            r->at[k] = r->at[--r->count];
        }
    }
}

/* "n1:4711 after 12 s, n2:99 after 3 s" */
static void put_places(const mf_return *r, mf_return_why why, char *text, size_t room)
{
    size_t length = 0;

    *text = 0;
    for (size_t k = 0; k < r->count && length < room; k++)
        if (r->at[k].why == why)
            length += (size_t)snprintf(text + length, room - length, "%s%s after %.0f s",
                                       length ? ", " : "", r->at[k].place, r->at[k].seconds);
}

mf_status mf_return_verdict(const mf_return *r)
{
    char text[2048];

    if (r->full >= MF_RETURNS_FULL) {
        put_places(r, MF_RETURN_FULL, text, sizeof text);
        return mf_hint(
            mf_fail(MF_IO, "%zu workers could not write to their folder: %s", r->full, text),
            "their disk is full, or smaller than what the node reads and makes: give "
            "workers a folder with more room, by TMPDIR or 'massflow worker --cache'");
    }
    if (r->soon < MF_RETURNS_SOON && r->lost < MF_RETURNS_MOST)
        return MF_OK;
    put_places(r, MF_RETURN_LOST, text, sizeof text);
    return mf_hint(
        mf_fail(MF_UNSUPPORTED, "%zu workers were lost while they ran it: %s", r->lost, text),
        "it may be the node that ends them: 'isolate: true' and 'memory' at its stage "
        "run it in a process of its own with a limit; the logs of the workers say more");
}

static size_t host_length(const char *place)
{
    const char *end = strrchr(place, ':');

    return end ? (size_t)(end - place) : strlen(place);
}

bool mf_return_from_host(const mf_return *r, const char *place)
{
    size_t length = host_length(place);

    for (size_t k = 0; k < r->count; k++)
        if (host_length(r->at[k].place) == length && !strncmp(r->at[k].place, place, length))
            return true;
    return false;
}
