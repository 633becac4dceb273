/* actions.c - what was done: key, where the key comes from, and what came out. */
#include "store/internal.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the record of an action");
}

static mf_status decode(const char *key, uint8_t digest[MF_DIGEST_BYTES])
{
    if (mf_hex_decode(key, digest))
        return MF_OK;
    return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", key);
}

/* ---- recording ---- */

static mf_status insert_output(mf__connection *c, int64_t action, const mf_action_output *o,
                               bool known)
{
    uint8_t id[MF_DIGEST_BYTES];
    sqlite3_stmt *s;
    bool row = false;
    if (!mf_hex_decode(o->id, id))
        return mf_fail(MF_INVALID, "'%s' is not an artifact id: 64 hex digits", o->id);
    MF_TRY(mf__prepare(c, "SELECT num FROM artifact WHERE id = ? AND (present = 1 OR ?)", &s, "di",
                       id, (int64_t)known));
    MF_TRY(mf__step(c, s, &row));
    if (!row)
        return mf_fail(MF_INVALID, "port '%s' names artifact %.*s, which is not stored", o->port,
                       MF__SHORT_ID, o->id);
    int64_t artifact = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return mf__exec(c, "INSERT INTO output (action, port, position, artifact) VALUES (?, ?, ?, ?)",
                    "itii", action, o->port, o->position, artifact);
}

typedef struct record {
    const mf_action *action;
    const uint8_t *token; /* whose lease ends with it */
    bool imported;        /* outputs may be known by their ids alone; date and place are its own */
} record;

static mf_status insert(mf__connection *c, void *arg)
{
    const record *r = arg;
    mf_action copy = *r->action, *a = &copy;
    uint8_t key[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    const char *device = a->device ? a->device : "";
    if (!r->imported) {
        a->created = mf__now();
        a->import = 0;
        a->host = "";
    }
    MF_TRY(decode(a->key, key));
    MF_TRY(mf__sum_action(a, key, sum));
    MF_TRY(mf__exec(c, "DELETE FROM action WHERE key = ? AND device = ? AND import = ?", "dti", key,
                    device, a->import));
    MF_TRY(mf__exec(c,
                    "INSERT INTO action (key, device, stage, seconds, peak_bytes, created, run,"
                    " sum, import, host) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "dttriiidit", key, device, a->stage, a->seconds, a->peak_bytes, a->created,
                    a->run, sum, a->import, a->host));
    int64_t num = sqlite3_last_insert_rowid(c->db);
    MF_TRY(mf__exec(c, "INSERT INTO component (action, json) VALUES (?, ?)", "it", num,
                    a->components ? a->components : "{}"));
    for (size_t i = 0; i < a->output_count; i++)
        MF_TRY(insert_output(c, num, &a->outputs[i], r->imported));
    return mf__lease_end(c, key, r->token);
}

mf_status mf__record_imported(mf_store *store, const mf_action *action)
{
    record r = {action, store->token, true};
    return mf_within(mf__write(store, insert, &r), "while recording an action of stage %s",
                     action->stage);
}

mf_status mf_store_record(mf_store *store, const mf_action *action)
{
    record r = {action, store->token, false};
    return mf_within(mf__write(store, insert, &r), "while recording an action of stage %s",
                     action->stage);
}

/* ---- comparing ---- */

static const mf_action_output *find_output(const mf_action *a, const mf_action_output *o)
{
    for (size_t i = 0; i < a->output_count; i++)
        if (!strcmp(a->outputs[i].port, o->port) && a->outputs[i].position == o->position)
            return &a->outputs[i];
    return NULL;
}

bool mf__same_outputs(const mf_action *a, const mf_action *b, const mf_action_output **differs)
{
    *differs = NULL;
    for (size_t i = 0; i < b->output_count; i++) {
        const mf_action_output *o = find_output(a, &b->outputs[i]);
        if (!o || strcmp(o->id, b->outputs[i].id)) {
            *differs = &b->outputs[i];
            return false;
        }
    }
    return a->output_count == b->output_count;
}

/* ---- reading ---- */

void mf_action_free(mf_action *action)
{
    if (!action)
        return;
    for (size_t i = 0; i < action->output_count; i++)
        free((char *)action->outputs[i].port);
    free(action->outputs);
    free((char *)action->stage);
    free((char *)action->components);
    free((char *)action->device);
    free((char *)action->host);
    free(action);
}

void mf_action_list_free(mf_action **actions, size_t count)
{
    for (size_t i = 0; actions && i < count; i++)
        mf_action_free(actions[i]);
    free(actions);
}

static char *column_text(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    return strdup(text ? (const char *)text : "");
}

/* Columns of every query that gives actions; one row an output, or one with a NULL port. */
#define COLUMNS                                                                                    \
    "a.key, a.stage, a.device, a.seconds, a.peak_bytes, a.created, a.run,"                         \
    " o.port, o.position, f.id, f.present, a.num, a.sum, a.import, a.host"
#define JOINS " LEFT JOIN output o ON o.action = a.num LEFT JOIN artifact f ON f.num = o.artifact"

static mf_status take_action(sqlite3_stmt *s, mf_action **action)
{
    mf_action *a = calloc(1, sizeof *a);
    if (!a)
        return no_memory();
    mf__column_hex(s, 0, a->key);
    a->stage = column_text(s, 1);
    a->device = column_text(s, 2);
    a->seconds = sqlite3_column_double(s, 3);
    a->peak_bytes = sqlite3_column_int64(s, 4);
    a->created = sqlite3_column_int64(s, 5);
    a->run = sqlite3_column_int64(s, 6);
    a->import = sqlite3_column_int64(s, 13);
    a->host = column_text(s, 14);
    if (!a->stage || !a->device || !a->host) {
        mf_action_free(a);
        return no_memory();
    }
    *action = a;
    return MF_OK;
}

static mf_status take_output(sqlite3_stmt *s, mf_action *a)
{
    if (sqlite3_column_type(s, 7) == SQLITE_NULL)
        return MF_OK;
    mf_action_output *grown = mf_list_more(a->outputs, a->output_count, sizeof *grown);
    if (!grown)
        return no_memory();
    a->outputs = grown;
    mf_action_output *o = &a->outputs[a->output_count];
    *o = (mf_action_output){.port = column_text(s, 7),
                            .position = sqlite3_column_int64(s, 8),
                            .present = sqlite3_column_int(s, 10)};
    if (!o->port)
        return no_memory();
    a->output_count++;
    if (!mf__column_hex(s, 9, o->id))
        o->id[0] = 0; /* lost: the action's sum will not fit */
    return MF_OK;
}

static mf_status damaged(const mf__connection *c, const char *hex)
{
    return mf_hint(mf_fail(MF_CORRUPT, "the record of action %.*s in '%s' is damaged", MF__SHORT_ID,
                           hex, c->path),
                   MF__REPAIR);
}

static mf_status find(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES], const char *device,
                      mf_action **action)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT " COLUMNS " FROM action a" JOINS
                       " WHERE a.num = " MF__ACTION("?1", "?2") " ORDER BY o.port, o.position",
                       &s, "dt", key, device));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    uint8_t sealed[MF_DIGEST_BYTES] = {0}, sum[MF_DIGEST_BYTES];
    while (row && !status) {
        if (!*action) {
            mf__column_digest(s, 12, sealed);
            status = take_action(s, action);
        }
        if (!status)
            status = take_output(s, *action);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    if (status || !*action)
        return status;
    /* The key that was looked for: also an index may lead to the wrong row. */
    MF_TRY(mf__sum_action(*action, key, sum));
    if (!memcmp(sum, sealed, sizeof sum))
        return MF_OK;
    char hex[MF_HEX_SIZE];
    mf_hex_encode(key, hex);
    return damaged(c, hex);
}

mf_status mf_store_find(mf_store *store, const char *key, const char *device, mf_action **action)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    *action = NULL;
    MF_TRY(decode(key, digest));
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = find(r->index, digest, device, action);
    mf__reader_put(store, r);
    if (status) {
        mf_action_free(*action);
        *action = NULL;
    }
    return status;
}

static mf_status components(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES], char **json)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT json FROM component"
                       " WHERE action = (SELECT max(num) FROM action WHERE key = ?)",
                       &s, "d", key));
    MF_TRY(mf__step(c, s, &row));
    if (row)
        *json = column_text(s, 0);
    sqlite3_reset(s);
    return row && !*json ? no_memory() : MF_OK;
}

mf_status mf_store_components(mf_store *store, const char *key, char **json)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    *json = NULL;
    MF_TRY(decode(key, digest));
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = components(r->index, digest, json);
    mf__reader_put(store, r);
    return status;
}

/* ---- all ---- */

mf_status mf__each_action(mf__connection *c,
                          mf_status (*each)(void *self, int64_t num, const mf_action *a,
                                            bool sound),
                          void *self)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(
        c, "SELECT " COLUMNS " FROM action a" JOINS " ORDER BY a.num, o.port, o.position", &s, ""));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        mf_action *a;
        uint8_t key[MF_DIGEST_BYTES] = {0}, sealed[MF_DIGEST_BYTES] = {0}, sum[MF_DIGEST_BYTES];
        int64_t num = sqlite3_column_int64(s, 11);
        mf__column_digest(s, 0, key);
        mf__column_digest(s, 12, sealed);
        status = take_action(s, &a);
        if (status)
            break;
        while (row && !status && sqlite3_column_int64(s, 11) == num) {
            status = take_output(s, a);
            if (!status)
                status = mf__step(c, s, &row);
        }
        if (!status)
            status = mf__sum_action(a, key, sum);
        if (!status)
            status = each(self, num, a, !memcmp(sum, sealed, sizeof sum));
        mf_action_free(a);
    }
    sqlite3_reset(s);
    return status;
}

/* ---- lists ---- */

typedef struct list {
    mf_action **items;
    size_t count;
} list;

static mf_status append(list *l, mf_action *action)
{
    mf_action **grown = mf_list_more(l->items, l->count, sizeof *grown);
    if (!grown) {
        mf_action_free(action);
        return no_memory();
    }
    l->items = grown;
    l->items[l->count++] = action;
    return MF_OK;
}

static mf_status give(list *l, mf_status status, mf_action ***actions, size_t *count)
{
    if (status) {
        mf_action_list_free(l->items, l->count);
        *l = (list){0};
    }
    *actions = l->items;
    *count = l->count;
    return status;
}

/* The keys a node used, newest run first, each with its newest action and the components. */
static mf_status node_actions(mf__connection *c, const char *graph, const char *node, size_t limit,
                              list *l)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT n.key, max(n.run) AS newest FROM run_node n"
                       " JOIN run r ON r.num = n.run"
                       " WHERE n.node = ? AND r.graph = ? AND n.key IS NOT NULL"
                       " GROUP BY n.key ORDER BY newest DESC",
                       &s, "tt", node, graph));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status && (!limit || l->count < limit)) {
        uint8_t key[MF_DIGEST_BYTES];
        mf_action *action = NULL;
        if (mf__column_digest(s, 0, key))
            status = find(c, key, NULL, &action);
        if (!status && action)
            status = components(c, key, (char **)&action->components);
        if (status)
            mf_action_free(action);
        else if (action)
            status = append(l, action);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_node_actions(mf_store *store, const char *graph, const char *node, size_t limit,
                                mf_action ***actions, size_t *count)
{
    list l = {0};
    mf__reader *r;
    *actions = NULL;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = node_actions(r->index, graph, node, limit, &l);
    mf__reader_put(store, r);
    return give(&l, status, actions, count);
}

/* The actions that a prepared statement gives, row after row. */
static mf_status take_actions(mf__connection *c, sqlite3_stmt *s, list *l)
{
    bool row;
    int64_t last = -1;
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        mf_action *action;
        if (sqlite3_column_int64(s, 11) != last) {
            last = sqlite3_column_int64(s, 11);
            status = take_action(s, &action);
            if (!status)
                status = append(l, action);
        }
        if (!status)
            status = take_output(s, l->items[l->count - 1]);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status list_actions(mf__connection *c, const char *stage, size_t limit, list *l)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(
        c,
        "SELECT " COLUMNS " FROM (SELECT * FROM action WHERE ?1 IS NULL OR stage = ?1"
        "       ORDER BY num DESC LIMIT ?2) a" JOINS " ORDER BY a.num DESC, o.port, o.position",
        &s, "ti", stage, limit ? (int64_t)limit : (int64_t)-1));
    return take_actions(c, s, l);
}

mf_status mf__actions_of(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                         mf_action ***actions, size_t *count)
{
    list l = {0};
    sqlite3_stmt *s;
    *actions = NULL;
    MF_TRY(mf__prepare(c,
                       "SELECT " COLUMNS " FROM action a" JOINS " WHERE a.key = ?1"
                       " ORDER BY a.num <> " MF__ACTION("?1", "NULL") ", a.num, o.port, o.position",
                       &s, "d", key));
    return give(&l, take_actions(c, s, &l), actions, count);
}

static mf_status artifact_actions(mf__connection *c, const uint8_t id[MF_DIGEST_BYTES],
                                  size_t limit, list *l)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(c,
                       "SELECT " COLUMNS " FROM (SELECT * FROM action WHERE num IN (SELECT o.action"
                       "   FROM output o JOIN artifact f ON f.num = o.artifact WHERE f.id = ?1)"
                       "   ORDER BY import <> 0, num DESC LIMIT ?2) a" JOINS
                       " ORDER BY a.import <> 0, a.num DESC, o.port, o.position",
                       &s, "di", id, limit ? (int64_t)limit : (int64_t)-1));
    return take_actions(c, s, l);
}

mf_status mf_store_artifact_actions(mf_store *store, const char *id, size_t limit,
                                    mf_action ***actions, size_t *count)
{
    uint8_t digest[MF_DIGEST_BYTES];
    list l = {0};
    mf__reader *r;
    *actions = NULL;
    if (!mf_hex_decode(id, digest))
        return mf_fail(MF_INVALID, "'%s' is not an artifact id: 64 hex digits", id);
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = artifact_actions(r->index, digest, limit, &l);
    mf__reader_put(store, r);
    return give(&l, status, actions, count);
}

mf_status mf_store_list_actions(mf_store *store, const char *stage, size_t limit,
                                mf_action ***actions, size_t *count)
{
    list l = {0};
    mf__reader *r;
    *actions = NULL;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list_actions(r->index, stage, limit, &l);
    mf__reader_put(store, r);
    return give(&l, status, actions, count);
}
