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
                         bool lost)
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
    if (!lost) {
        r->ran = seconds > r->ran ? seconds : r->ran;
        return MF_OK;
    }
    if (r->lost < MF_RETURNS_MOST) {
        snprintf(r->places[r->lost], sizeof r->places[0], "%s", place);
        r->seconds[r->lost] = seconds;
    }
    r->lost++;
    r->soon += seconds < MF_RETURN_SOON;
    return MF_OK;
}

mf_status mf_return_verdict(const mf_return *r)
{
    char text[2048] = "";
    size_t length = 0;

    if (r->soon < MF_RETURNS_SOON && r->lost < MF_RETURNS_MOST)
        return MF_OK;
    for (size_t k = 0; k < r->lost && k < MF_RETURNS_MOST && length < sizeof text; k++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s after %.0f s",
                                   k ? ", " : "", r->places[k], r->seconds[k]);
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

    for (size_t k = 0; k < r->lost && k < MF_RETURNS_MOST; k++)
        if (host_length(r->places[k]) == length && !strncmp(r->places[k], place, length))
            return true;
    return false;
}
