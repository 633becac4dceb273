/* past.c - what the nodes of a stage did in earlier runs. */
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the record of a run");
}

/* The nodes of a stage: "scan" itself, and what lies between "scan[" and the character behind. In a
 * statement: node >= label AND node < past AND (node = label OR node >= first), so that one range
 * of a run's nodes is read, "scan2" among them left out. */
typedef struct range {
    char first[256], past[256];
} range;

static range nodes_of(const char *label)
{
    range r;
    snprintf(r.first, sizeof r.first, "%s[", label);
    snprintf(r.past, sizeof r.past, "%s\\", label);
    return r;
}

static mf_status past_seconds(mf__connection *c, const char *graph, const char *label, size_t limit,
                              double *seconds, size_t *count)
{
    range nodes = nodes_of(label);
    sqlite3_stmt *s;
    bool row;
    /* Only runs that made what is still known: many may have found everything cached. */
    MF_TRY(mf__prepare(c,
                       "SELECT n.seconds FROM (SELECT num FROM run WHERE graph = ?4"
                       "  AND num IN (SELECT run FROM action) ORDER BY num DESC LIMIT 20) r"
                       " CROSS JOIN run_node n WHERE n.run = r.num AND n.node >= ?1"
                       " AND n.node < ?3 AND (n.node = ?1 OR n.node >= ?2) AND n.outcome = 0"
                       " LIMIT ?5",
                       &s, "tttti", label, nodes.first, nodes.past, graph, (int64_t)limit));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        seconds[(*count)++] = sqlite3_column_double(s, 0);
        status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status stage_seconds(mf__connection *c, const char *stage, bool imported, size_t limit,
                               double *seconds, size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       imported ? "SELECT seconds FROM action WHERE stage = ? AND import <> 0"
                                  " ORDER BY num DESC LIMIT ?"
                                : "SELECT seconds FROM action WHERE stage = ? AND import = 0"
                                  " ORDER BY num DESC LIMIT ?",
                       &s, "ti", stage, (int64_t)limit));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        seconds[(*count)++] = sqlite3_column_double(s, 0);
        status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static mf_status find_times(mf__connection *c, const char *graph, const char *label,
                            const char *stage, double *seconds, mf_past_times *past)
{
    MF_TRY(past_seconds(c, graph, label, MF_PAST_MOST, seconds, &past->count));
    past->from = MF_PAST_GRAPH;
    if (!past->count) {
        past->from = MF_PAST_IMPORTED;
        MF_TRY(stage_seconds(c, stage, true, MF_PAST_MOST, seconds, &past->count));
    }
    if (!past->count) {
        past->from = MF_PAST_STAGE;
        MF_TRY(stage_seconds(c, stage, false, MF_PAST_MOST, seconds, &past->count));
    }
    if (!past->count)
        return MF_OK;
    qsort(seconds, past->count, sizeof *seconds, by_size);
    past->median = seconds[past->count / 2];
    return MF_OK;
}

mf_status mf_store_past_times(mf_store *store, const char *graph, const char *label,
                              const char *stage, mf_past_times *past)
{
    double *seconds = calloc(MF_PAST_MOST, sizeof *seconds);
    mf__reader *r;
    *past = (mf_past_times){0};
    if (!seconds)
        return no_memory();
    mf_status status = mf__reader_get(store, &r);
    if (!status) {
        status = find_times(r->index, graph, label, stage, seconds, past);
        mf__reader_put(store, r);
    }
    free(seconds);
    return status;
}

void mf_name_list_free(char **names, size_t count)
{
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

/* In the newest `runs` of the graph; -1: in all. */
static mf_status past_nodes(mf__connection *c, const char *graph, const char *label, int64_t runs,
                            size_t limit, char **names, size_t *count, bool *ran)
{
    range nodes = nodes_of(label);
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c, "SELECT 1 FROM run WHERE graph = ? LIMIT 1", &s, "t", graph));
    MF_TRY(mf__step(c, s, ran));
    sqlite3_reset(s);
    MF_TRY(mf__prepare(c,
                       "SELECT n.node, max(n.run) AS newest FROM (SELECT num FROM run"
                       "  WHERE graph = ?4 ORDER BY num DESC LIMIT ?6) r"
                       " CROSS JOIN run_node n WHERE n.run = r.num AND n.node >= ?1"
                       " AND n.node < ?3 AND (n.node = ?1 OR n.node >= ?2) AND n.key IS NOT NULL"
                       " GROUP BY n.node ORDER BY newest DESC, n.node LIMIT ?5",
                       &s, "ttttii", label, nodes.first, nodes.past, graph, (int64_t)limit, runs));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        names[*count] = strdup((const char *)sqlite3_column_text(s, 0));
        status = names[*count] ? MF_OK : no_memory();
        *count += !status;
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_past_nodes(mf_store *store, const char *graph, const char *label, size_t limit,
                              char ***names, size_t *count, bool *ran)
{
    mf__reader *r;
    *count = 0;
    *ran = false;
    *names = calloc(limit ? limit : 1, sizeof **names);
    if (!*names)
        return no_memory();
    mf_status status = mf__reader_get(store, &r);
    if (!status) {
        /* The newest runs tell nearly always. */
        status = past_nodes(r->index, graph, label, 5, limit, *names, count, ran);
        if (!status && !*count)
            status = past_nodes(r->index, graph, label, -1, limit, *names, count, ran);
        mf__reader_put(store, r);
    }
    if (status) {
        mf_name_list_free(*names, *count);
        *names = NULL;
        *count = 0;
    }
    return status;
}

static mf_status maker(mf__connection *c, int64_t run, const uint8_t key[MF_DIGEST_BYTES],
                       char **node)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(
        c, "SELECT node FROM run_node WHERE run = ? AND key = ? AND outcome = 0 LIMIT 1", &s, "id",
        run, key));
    MF_TRY(mf__step(c, s, &row));
    if (row)
        *node = strdup((const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return row && !*node ? no_memory() : MF_OK;
}

mf_status mf_store_maker(mf_store *store, int64_t run, const char *key, char **node)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    *node = NULL;
    if (!mf_hex_decode(key, digest))
        return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", key);
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = maker(r->index, run, digest, node);
    mf__reader_put(store, r);
    return status;
}

static mf_status node_used(mf__connection *c, const char *graph, const char *node,
                           const uint8_t key[MF_DIGEST_BYTES], bool *used)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(c,
                       "SELECT 1 FROM run_node n JOIN run r ON r.num = n.run"
                       " WHERE n.node = ? AND n.key = ? AND r.graph = ? AND n.outcome < 2 LIMIT 1",
                       &s, "tdt", node, key, graph));
    mf_status status = mf__step(c, s, used);
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_node_used(mf_store *store, const char *graph, const char *node, const char *key,
                             bool *used)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    *used = false;
    if (!mf_hex_decode(key, digest))
        return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", key);
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = node_used(r->index, graph, node, digest, used);
    mf__reader_put(store, r);
    return status;
}
