/* runs.c - which runs there were, and how each of their nodes came out. */
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const outcome_texts[] = {
#define X(outcome, text) [outcome] = text,
    MF_OUTCOMES(X)
#undef X
};
#define OUTCOMES (sizeof outcome_texts / sizeof *outcome_texts)

const char *mf_outcome_text(mf_outcome outcome)
{
    return (size_t)outcome < OUTCOMES ? outcome_texts[outcome] : "unknown";
}

static mf_status no_memory(void)
{
    return mf_fail(MF_NO_MEMORY, "no memory for the record of a run");
}

/* ---- writing ---- */

typedef struct begin {
    const char *graph, *command;
    char host[256];
    int64_t run;
} begin;

static mf_status insert_run(mf__connection *c, void *arg)
{
    begin *b = arg;
    MF_TRY(mf__exec(c,
                    "INSERT INTO run (graph, command, host, pid, started, status)"
                    " VALUES (?, ?, ?, ?, ?, 'running')",
                    "tttii", b->graph, b->command, b->host, (int64_t)getpid(), mf__now()));
    b->run = sqlite3_last_insert_rowid(c->db);
    return MF_OK;
}

mf_status mf_store_run_begin(mf_store *store, const char *graph, const char *command, int64_t *run)
{
    begin b = {.graph = graph, .command = command};
    if (gethostname(b.host, sizeof b.host - 1) != 0)
        b.host[0] = 0;
    MF_TRY(mf__write(store, insert_run, &b));
    *run = b.run;
    return MF_OK;
}

typedef struct nodes {
    int64_t run;
    const mf_run_node *nodes;
    size_t count;
} nodes;

static mf_status insert_nodes(mf__connection *c, void *arg)
{
    const nodes *all = arg;
    for (size_t i = 0; i < all->count; i++) {
        const mf_run_node *n = &all->nodes[i];
        uint8_t key[MF_DIGEST_BYTES];
        if (n->key && !mf_hex_decode(n->key, key))
            return mf_fail(MF_INVALID, "'%s' is no action key: 64 hex digits", n->key);
        MF_TRY(mf__exec(c,
                        "INSERT OR REPLACE INTO run_node"
                        " (run, node, outcome, seconds, message, key) VALUES (?, ?, ?, ?, ?, ?)",
                        "itirtd", all->run, n->node, (int64_t)n->outcome, n->seconds,
                        n->message && n->message[0] ? n->message : NULL, n->key ? key : NULL));
    }
    return MF_OK;
}

mf_status mf_store_run_nodes(mf_store *store, int64_t run, const mf_run_node *list, size_t count)
{
    nodes all = {run, list, count};
    return count ? mf__write(store, insert_nodes, &all) : MF_OK;
}

typedef struct end {
    int64_t run;
    const char *status;
} end;

static mf_status update_run(mf__connection *c, void *arg)
{
    const end *e = arg;
    return mf__exec(c, "UPDATE run SET ended = ?, status = ? WHERE num = ?", "iti", mf__now(),
                    e->status, e->run);
}

mf_status mf_store_run_end(mf_store *store, int64_t run, const char *status)
{
    end e = {run, status};
    return mf__write(store, update_run, &e);
}

/* ---- reading ---- */

static char *column_text(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    return strdup(text ? (const char *)text : "");
}

/* Room for one more of `size` bytes in a list that holds `count`: doubled at powers of two. */
static void *grow(void *list, size_t count, size_t size)
{
    if (count & (count - 1))
        return list;
    return realloc(list, (count ? 2 * count : 1) * size);
}

void mf_run_list_free(mf_run_entry *runs, size_t count)
{
    for (size_t i = 0; runs && i < count; i++) {
        free(runs[i].graph);
        free(runs[i].command);
        free(runs[i].status);
    }
    free(runs);
}

static mf_status take_run(sqlite3_stmt *s, mf_run_entry **runs, size_t *count)
{
    mf_run_entry *grown = grow(*runs, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *runs = grown;
    mf_run_entry *r = &grown[(*count)++];
    *r = (mf_run_entry){.id = sqlite3_column_int64(s, 0),
                        .graph = column_text(s, 1),
                        .command = column_text(s, 2),
                        .start = sqlite3_column_int64(s, 3),
                        .end = sqlite3_column_int64(s, 4),
                        .status = column_text(s, 5)};
    for (int i = 0; i < (int)OUTCOMES; i++)
        r->counts[i] = sqlite3_column_int64(s, 6 + i);
    return r->graph && r->command && r->status ? MF_OK : no_memory();
}

static mf_status list_runs(mf__connection *c, const char *graph, size_t limit, mf_run_entry **runs,
                           size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT r.num, r.graph, r.command, r.started, r.ended, r.status,"
                       " sum(n.outcome = 0), sum(n.outcome = 1), sum(n.outcome = 2),"
                       " sum(n.outcome = 3), sum(n.outcome = 4)"
                       " FROM (SELECT * FROM run WHERE ?1 IS NULL OR graph = ?1"
                       "       ORDER BY num DESC LIMIT ?2) r"
                       " LEFT JOIN run_node n ON n.run = r.num GROUP BY r.num ORDER BY r.num DESC",
                       &s, "ti", graph, limit ? (int64_t)limit : (int64_t)-1));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take_run(s, runs, count);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_list_runs(mf_store *store, const char *graph, size_t limit, mf_run_entry **runs,
                             size_t *count)
{
    mf__reader *r;
    *runs = NULL;
    *count = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list_runs(r->index, graph, limit, runs, count);
    mf__reader_put(store, r);
    if (status) {
        mf_run_list_free(*runs, *count);
        *runs = NULL;
        *count = 0;
    }
    return status;
}

void mf_run_node_list_free(mf_run_node *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free((char *)list[i].node);
        free((char *)list[i].message);
        free((char *)list[i].key);
    }
    free(list);
}

static mf_status take_node(sqlite3_stmt *s, mf_run_node **list, size_t *count)
{
    char key[MF_HEX_SIZE];
    mf_run_node *grown = grow(*list, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *list = grown;
    mf_run_node *n = &grown[(*count)++];
    bool keyed = mf__column_hex(s, 4, key);
    *n = (mf_run_node){.node = column_text(s, 0),
                       .outcome = (mf_outcome)sqlite3_column_int(s, 1),
                       .seconds = sqlite3_column_double(s, 2),
                       .message = column_text(s, 3),
                       .key = keyed ? strdup(key) : NULL};
    return n->node && n->message && (n->key || !keyed) ? MF_OK : no_memory();
}

static mf_status list_nodes(mf__connection *c, int64_t run, mf_run_node **list, size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT node, outcome, seconds, message, key FROM run_node WHERE run = ?"
                       " ORDER BY node",
                       &s, "i", run));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take_node(s, list, count);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_list_run_nodes(mf_store *store, int64_t run, mf_run_node **list, size_t *count)
{
    mf__reader *r;
    *list = NULL;
    *count = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list_nodes(r->index, run, list, count);
    mf__reader_put(store, r);
    if (status) {
        mf_run_node_list_free(*list, *count);
        *list = NULL;
        *count = 0;
    }
    return status;
}
