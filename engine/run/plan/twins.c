/* twins.c - see twins.h. */
#include "run/plan/twins.h"

#include <stdint.h>
#include <stdlib.h>

static size_t *new_list(size_t count)
{
    size_t *list = malloc(count * sizeof *list);

    for (size_t i = 0; list && i < count; i++)
        list[i] = MF_TWIN_NONE;
    return list;
}

mf_status mf_twins_init(mf_twins *twins, size_t most)
{
    size_t buckets = 16;

    while (buckets < most)
        buckets *= 2;
    *twins = (mf_twins){.first = new_list(buckets),
                        .last = new_list(buckets),
                        .next = new_list(most + 1),
                        .previous = new_list(most + 1),
                        .bucket = new_list(most + 1),
                        .buckets = buckets};
    if (twins->first && twins->last && twins->next && twins->previous && twins->bucket)
        return MF_OK;
    return mf_no_memory(0, "the keys of %zu nodes", most);
}

void mf_twins_clear(mf_twins *twins)
{
    free(twins->first);
    free(twins->last);
    free(twins->next);
    free(twins->previous);
    free(twins->bucket);
    *twins = (mf_twins){0};
}

/* FNV-1a */
static size_t bucket_of(const mf_twins *twins, const char *key)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001b3ULL;
    return (size_t)hash & (twins->buckets - 1);
}

static void remove_node(mf_twins *twins, size_t node)
{
    size_t b = twins->bucket[node], next = twins->next[node], previous = twins->previous[node];

    if (b == MF_TWIN_NONE)
        return;
    *(previous == MF_TWIN_NONE ? &twins->first[b] : &twins->next[previous]) = next;
    *(next == MF_TWIN_NONE ? &twins->last[b] : &twins->previous[next]) = previous;
}

void mf_twins_put(mf_twins *twins, size_t node, const char *key)
{
    size_t b = bucket_of(twins, key);

    remove_node(twins, node);
    twins->bucket[node] = b;
    twins->next[node] = MF_TWIN_NONE;
    twins->previous[node] = twins->last[b];
    *(twins->last[b] == MF_TWIN_NONE ? &twins->first[b] : &twins->next[twins->last[b]]) = node;
    twins->last[b] = node;
}

size_t mf_twins_first(const mf_twins *twins, const char *key)
{
    return twins->first[bucket_of(twins, key)];
}

size_t mf_twins_next(const mf_twins *twins, size_t node)
{
    return twins->next[node];
}
