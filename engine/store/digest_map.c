/* digest_map.c - a table of digests in memory, with numbers of the owner's beside each. */
#include "store/check.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A digest is as good as random: its first bytes say where to look first. */
static size_t slot(const mf__map *map, const uint8_t *digest)
{
    uint64_t start;
    memcpy(&start, digest, sizeof start);
    size_t i = (size_t)start & (map->room - 1);
    while (map->entries[i].taken && memcmp(map->entries[i].digest, digest, MF_DIGEST_BYTES))
        i = (i + 1) & (map->room - 1);
    return i;
}

mf__map_entry *mf__map_find(const mf__map *map, const uint8_t digest[MF_DIGEST_BYTES])
{
    mf__map_entry *entry = map->room ? &map->entries[slot(map, digest)] : NULL;
    return entry && entry->taken ? entry : NULL;
}

static mf_status grow(mf__map *map)
{
    mf__map grown = {.room = map->room ? 2 * map->room : 1024, .count = map->count};
    grown.entries = calloc(grown.room, sizeof *grown.entries);
    if (!grown.entries)
        return mf_no_memory((size_t)grown.room * sizeof *grown.entries, "the digests of a cache");
    for (size_t i = 0; i < map->room; i++)
        if (map->entries[i].taken)
            grown.entries[slot(&grown, map->entries[i].digest)] = map->entries[i];
    free(map->entries);
    *map = grown;
    return MF_OK;
}

mf_status mf__map_add(mf__map *map, const uint8_t digest[MF_DIGEST_BYTES], mf__map_entry **entry)
{
    if (2 * (map->count + 1) > map->room)
        MF_TRY(grow(map));
    mf__map_entry *e = &map->entries[slot(map, digest)];
    assert(2 * map->count < map->room); /* a search ends at a free entry */
    if (!e->taken) {
        memcpy(e->digest, digest, MF_DIGEST_BYTES);
        e->taken = true;
        map->count++;
    }
    *entry = e;
    return MF_OK;
}

void mf__map_clear(mf__map *map)
{
    free(map->entries);
    *map = (mf__map){0};
}
