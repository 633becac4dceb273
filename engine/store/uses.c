/* uses.c - which nodes of which graphs have an artifact as their result. */
#include "store/uses.h"
#include "store/internal.h"

#include <string.h>

#define COLUMNS                                                                                    \
    " a.stage, o.port, f.id, f.type, f.present, f.bytes, f.stored, f.created FROM output o"        \
    " JOIN action a ON a.num = o.action JOIN artifact f ON f.num = o.artifact"

static const char *text_at(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return text ? text : "";
}

static mf_status tell_all(mf__connection *c, sqlite3_stmt *s, mf_use_call tell, void *self)
{
    bool row;
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        mf_use use = {.graph = text_at(s, 0),
                      .node = text_at(s, 1),
                      .stage = text_at(s, 2),
                      .port = text_at(s, 3),
                      .type = text_at(s, 5),
                      .present = sqlite3_column_int(s, 6),
                      .bytes = sqlite3_column_int64(s, 7),
                      .stored = sqlite3_column_int64(s, 8),
                      .created = sqlite3_column_int64(s, 9)};
        mf__column_hex(s, 4, use.id);
        status = tell(self, &use);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status list(mf__connection *c, const char *graph, mf_use_call tell, void *self)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(c,
                       "WITH used AS (SELECT DISTINCT r.graph AS graph, n.node AS node,"
                       "  n.key AS key FROM run_node n JOIN run r ON r.num = n.run"
                       "  WHERE n.key IS NOT NULL AND (?1 IS NULL OR r.graph = ?1))"
                       " SELECT DISTINCT u.graph, u.node," COLUMNS " JOIN used u ON u.key = a.key"
                       " ORDER BY u.graph, u.node, f.num, o.port",
                       &s, "t", graph));
    MF_TRY(tell_all(c, s, tell, self));
    if (graph)
        return MF_OK;
    MF_TRY(mf__prepare(c,
                       "SELECT DISTINCT '', ''," COLUMNS " WHERE f.num NOT IN (SELECT p.artifact"
                       "  FROM output p JOIN action b ON b.num = p.action"
                       "  WHERE b.key IN (SELECT key FROM run_node WHERE key IS NOT NULL))"
                       " ORDER BY f.num",
                       &s, ""));
    return tell_all(c, s, tell, self);
}

mf_status mf_store_list_uses(mf_store *store, const char *graph, mf_use_call tell, void *self)
{
    mf__reader *r;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list(r->index, graph, tell, self);
    mf__reader_put(store, r);
    return status;
}
