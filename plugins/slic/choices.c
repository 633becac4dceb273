/* choices.c - see choices.h. */
#include "choices.h"

#include <massflow/memory.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_choices_add(mf_choices *c, const mf_regions *r, int32_t n, double edge)
{
    mf_choice *grown = mf_list_more(c->list, c->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a list of regions");
    c->list = grown;
    c->list[c->count++] = (mf_choice){r->regions[n], edge, n, (int32_t)c->turns};
    return MF_OK;
}

mf_status mf_choices_turn(mf_choices *c, const mf_regions *r)
{
    const size_t bytes = (size_t)r->count * sizeof *r->union_of;
    int32_t **grown = mf_list_more(c->union_of, c->turns, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a list of regions");
    c->union_of = grown;
    c->union_of[c->turns] = malloc(bytes > 0 ? bytes : 1);
    if (!c->union_of[c->turns])
        return mf_no_memory(bytes, "a list of regions");
    if (bytes > 0)
        memcpy(c->union_of[c->turns], r->union_of, bytes);
    c->turns++;
    return MF_OK;
}

static int larger_first(const void *a, const void *b)
{
    const mf_choice *x = a, *y = b;
    if (x->turn != y->turn)
        return x->turn - y->turn;
    if (x->of.voxels != y->of.voxels)
        return x->of.voxels > y->of.voxels ? -1 : 1;
    return x->region - y->region;
}

static int by_region(const void *a, const void *b)
{
    const mf_choice *x = a, *y = b;
    return x->turn != y->turn ? x->turn - y->turn : x->region - y->region;
}

/* The first choice after those of the turn of choice i. */
static size_t end_of_turn(const mf_choices *c, size_t i)
{
    size_t end = i;
    while (end < c->count && c->list[end].turn == c->list[i].turn)
        end++;
    return end;
}

/* The largest number of choices a turn with which they are at most `most` together, and *left: so
 * many turns, of those that have more, the last, may have one more. */
static size_t largest_share(const mf_choices *c, size_t most, size_t *left)
{
    size_t share = 0, step = 1;
    *left = most;
    while (step < c->count)
        step *= 2;
    for (; step > 0; step /= 2) {
        size_t all = 0;
        for (size_t i = 0, end; i < c->count; i = end) {
            end = end_of_turn(c, i);
            all += end - i < share + step ? end - i : share + step;
        }
        if (all <= most) {
            share += step;
            *left = most - all;
        }
    }
    return share;
}

size_t mf_choices_keep(mf_choices *c, size_t most)
{
    const size_t count = c->count;
    if (count == 0)
        return 0;
    qsort(c->list, count, sizeof *c->list, larger_first);
    size_t left, larger = 0, kept = 0;
    const size_t share = largest_share(c, most, &left);
    for (size_t i = 0; i < count; i = end_of_turn(c, i))
        larger += end_of_turn(c, i) - i > share;
    for (size_t i = 0, end; i < count; i = end) {
        end = end_of_turn(c, i);
        size_t own = share;
        if (end - i > share && larger-- <= left)
            own++;
        for (size_t k = i; k < end && k < i + own; k++)
            c->list[kept++] = c->list[k];
    }
    c->count = kept;
    qsort(c->list, kept, sizeof *c->list, by_region);
    return count - kept;
}

void mf_choices_free(mf_choices *c)
{
    for (size_t i = 0; i < c->turns; i++)
        free(c->union_of[i]);
    free(c->union_of);
    free(c->list);
    *c = (mf_choices){0};
}
