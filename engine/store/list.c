/* list.c - what is in a store: artifacts by type and prefix, counts and sizes. */
#include "store/internal.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a list of artifacts");
}

/* ---- artifacts ---- */

/* Every hex text that begins with `prefix` as the range low .. high of digests. */
static bool prefix_range(const char *prefix, uint8_t low[MF_DIGEST_BYTES],
                         uint8_t high[MF_DIGEST_BYTES])
{
    char a[MF_HEX_SIZE], b[MF_HEX_SIZE];
    size_t size = strlen(prefix);
    if (size > 2 * MF_DIGEST_BYTES)
        return false;
    memset(a, '0', sizeof a);
    memset(b, 'f', sizeof b);
    memcpy(a, prefix, size);
    memcpy(b, prefix, size);
    a[MF_HEX_SIZE - 1] = b[MF_HEX_SIZE - 1] = 0;
    return mf_hex_decode(a, low) && mf_hex_decode(b, high);
}

static mf_status take_artifact(sqlite3_stmt *s, mf_artifact_entry **entries, size_t *count)
{
    mf_artifact_entry *grown = mf_list_more(*entries, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *entries = grown;
    mf_artifact_entry *e = &(*entries)[(*count)++];
    *e = (mf_artifact_entry){.present = sqlite3_column_int(s, 2),
                             .bytes = sqlite3_column_int64(s, 3),
                             .stored = sqlite3_column_int64(s, 4),
                             .created = sqlite3_column_int64(s, 5)};
    mf__column_hex(s, 0, e->id);
    snprintf(e->type, sizeof e->type, "%s", (const char *)sqlite3_column_text(s, 1));
    return MF_OK;
}

static mf_status list_artifacts(mf__connection *c, const char *type, const char *prefix,
                                size_t limit, mf_artifact_entry **entries, size_t *count)
{
    uint8_t low[MF_DIGEST_BYTES], high[MF_DIGEST_BYTES];
    sqlite3_stmt *s;
    bool row;
    if (!prefix_range(prefix ? prefix : "", low, high))
        return mf_fail(MF_INVALID, "'%s' is not the beginning of an id: hex digits, at most 64",
                       prefix);
    MF_TRY(mf__prepare(c,
                       "SELECT id, type, present, bytes, stored, created FROM artifact"
                       " WHERE id BETWEEN ?1 AND ?2 AND (?3 IS NULL OR type = ?3)"
                       " ORDER BY num DESC LIMIT ?4",
                       &s, "ddti", low, high, type, limit ? (int64_t)limit : (int64_t)-1));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take_artifact(s, entries, count);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_list_artifacts(mf_store *store, const char *type, const char *prefix,
                                  size_t limit, mf_artifact_entry **entries, size_t *count)
{
    mf__reader *r;
    *entries = NULL;
    *count = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list_artifacts(r->index, type, prefix, limit, entries, count);
    mf__reader_put(store, r);
    if (status) {
        free(*entries);
        *entries = NULL;
        *count = 0;
    }
    return status;
}

mf_status mf_store_resolve(mf_store *store, const char *prefix, char id[MF_HEX_SIZE])
{
    mf_artifact_entry *e;
    size_t count;
    if (strlen(prefix) < 4)
        return mf_fail(MF_INVALID, "'%s' is too short for an artifact: give 4 digits or more",
                       prefix);
    MF_TRY(mf_store_list_artifacts(store, NULL, prefix, 3, &e, &count));
    mf_status status = MF_OK;
    if (count == 0)
        status = mf_fail(MF_NOT_FOUND, "no artifact in the cache '%s' begins with '%s'", store->dir,
                         prefix);
    else if (count > 1)
        status = mf_fail(MF_INVALID, "several artifacts begin with '%s': %.16s, %.16s%s", prefix,
                         e[0].id, e[1].id, count > 2 ? ", ..." : "");
    else
        memcpy(id, e[0].id, MF_HEX_SIZE);
    free(e);
    return status;
}

/* ---- counts and sizes ---- */

static int64_t file_size(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (int64_t)s.st_size : 0;
}

static mf_status count_chunks(mf__connection *c, mf_store_stat *stat)
{
    int64_t chunks, stored;
    MF_TRY(mf__integer(c, "SELECT count(*) FROM chunk", &chunks));
    MF_TRY(mf__integer(c, "SELECT sum(stored) FROM chunk", &stored));
    stat->chunks += chunks;
    stat->stored += stored;
    return MF_OK;
}

static mf_status take_type(sqlite3_stmt *s, mf_store_stat *stat)
{
    mf_store_type_stat *grown = mf_list_more(stat->types, stat->type_count, sizeof *grown);
    if (!grown)
        return no_memory();
    stat->types = grown;
    mf_store_type_stat *t = &grown[stat->type_count++];
    *t = (mf_store_type_stat){.count = sqlite3_column_int64(s, 1),
                              .bytes = sqlite3_column_int64(s, 2),
                              .stored = sqlite3_column_int64(s, 3)};
    snprintf(t->type, sizeof t->type, "%s", (const char *)sqlite3_column_text(s, 0));
    stat->artifacts += t->count;
    stat->bytes += t->bytes;
    return MF_OK;
}

static mf_status count_types(mf__connection *c, mf_store_stat *stat)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT type, count(*), sum(bytes), sum(stored) AS total FROM artifact"
                       " WHERE present = 1 GROUP BY type ORDER BY total DESC, type",
                       &s, ""));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take_type(s, stat);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status count_all(mf__reader *r, mf_store_stat *stat)
{
    MF_TRY(count_types(r->index, stat));
    MF_TRY(
        mf__integer(r->index, "SELECT count(*) FROM artifact WHERE present = 0", &stat->dropped));
    MF_TRY(mf__integer(r->index, "SELECT count(*) FROM action", &stat->actions));
    MF_TRY(mf__integer(r->index, "SELECT count(*) FROM action WHERE import <> 0", &stat->imported));
    MF_TRY(mf__integer(r->index, "SELECT count(*) FROM run", &stat->runs));
    MF_TRY(mf__integer(r->index, "SELECT count(*) FROM file", &stat->files));
    MF_TRY(count_chunks(r->index, stat));
    return count_chunks(r->chunks, stat);
}

mf_status mf_store_get_stat(mf_store *store, mf_store_stat *stat)
{
    mf__reader *r;
    *stat =
        (mf_store_stat){.schema = MF__SCHEMA,
                        .file_bytes = file_size(store->index_path) + file_size(store->chunks_path)};
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = count_all(r, stat);
    mf__reader_put(store, r);
    if (status)
        mf_store_stat_clear(stat);
    return status;
}

void mf_store_stat_clear(mf_store_stat *stat)
{
    free(stat->types);
    *stat = (mf_store_stat){0};
}
