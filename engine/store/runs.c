/* runs.c - which runs there were, how each of their nodes came out, and what they said. */
#include "store/internal.h"

#include <massflow/memory.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const outcome_texts[] = {
#define X(outcome, text) [outcome] = text,
    MF_OUTCOMES(X)
#undef X
};

const char *mf_outcome_text(mf_outcome outcome)
{
    return outcome < MF_OUTCOME_COUNT ? outcome_texts[outcome] : "unknown";
}

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the record of a run");
}

/* ---- writing ---- */

typedef struct begin {
    const mf_run_start *start;
    char host[256];
    int64_t run;
} begin;

static void get_host(char host[256])
{
    if (gethostname(host, 255) != 0)
        host[0] = 0;
    host[255] = 0;
}

static mf_status insert_run(mf__connection *c, void *arg)
{
    begin *b = arg;
    MF_TRY(mf__exec(c,
                    "INSERT INTO run (graph, command, version, slots, host, pid, started, status)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 'running')",
                    "tttitii", b->start->graph, b->start->command, b->start->version,
                    (int64_t)b->start->slots, b->host, (int64_t)getpid(), mf__now()));
    b->run = sqlite3_last_insert_rowid(c->db);
    return MF_OK;
}

mf_status mf_store_run_begin(mf_store *store, const mf_run_start *start, int64_t *run)
{
    begin b = {.start = start};
    get_host(b.host);
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
            return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", n->key);
        MF_TRY(
            mf__exec(c,
                     "INSERT INTO run_node (run, node, outcome, started, seconds, device,"
                     " peak_bytes, own_process, message, key, place)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, node) DO UPDATE"
                     " SET outcome = excluded.outcome, started = excluded.started,"
                     " seconds = excluded.seconds, device = excluded.device,"
                     " peak_bytes = excluded.peak_bytes, own_process = excluded.own_process,"
                     " message = excluded.message, key = excluded.key, place = excluded.place",
                     "itirrtiitdt", all->run, n->node, (int64_t)n->outcome, n->started, n->seconds,
                     n->device, n->peak_bytes, (int64_t)n->own_process,
                     n->message && n->message[0] ? n->message : NULL, n->key ? key : NULL,
                     n->place && n->place[0] ? n->place : NULL));
    }
    return MF_OK;
}

mf_status mf_store_run_nodes(mf_store *store, int64_t run, const mf_run_node *list, size_t count)
{
    nodes all = {run, list, count};
    MF_TRY(count ? mf__write(store, insert_nodes, &all) : MF_OK);
    mf__planned(store);
    return MF_OK;
}

typedef struct lines {
    int64_t run;
    const mf_run_line *lines;
    size_t count;
} lines;

static mf_status insert_lines(mf__connection *c, void *arg)
{
    const lines *all = arg;
    for (size_t i = 0; i < all->count; i++)
        MF_TRY(mf__exec(c, "INSERT INTO run_line (run, node, at, text) VALUES (?, ?, ?, ?)", "itrt",
                        all->run, all->lines[i].node, all->lines[i].at, all->lines[i].text));
    return MF_OK;
}

mf_status mf_store_run_lines(mf_store *store, int64_t run, const mf_run_line *list, size_t count)
{
    lines all = {run, list, count};
    return count ? mf__write(store, insert_lines, &all) : MF_OK;
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

void mf_run_list_free(mf_run_entry *runs, size_t count)
{
    for (size_t i = 0; runs && i < count; i++) {
        free(runs[i].graph);
        free(runs[i].command);
        free(runs[i].version);
        free(runs[i].host);
        free(runs[i].status);
    }
    free(runs);
}

/* When a process of this host started, in seconds since 1970; 0 where that can't be told. */
static double process_start(int64_t pid)
{
    char path[64], line[1024];
    unsigned long long ticks = 0;
    double uptime = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    /* Behind the name, which may hold anything, field 22 is the start since boot. */
    if (fgets(line, sizeof line, file) && strrchr(line, ')'))
        sscanf(strrchr(line, ')') + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks);
    fclose(file);
    file = fopen("/proc/uptime", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%lf", &uptime) != 1)
        uptime = 0;
    fclose(file);
    if (!ticks || !(uptime > 0))
        return 0;
    return (double)mf__now() - uptime + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* A run that says of itself that it goes on, but whose process is gone or is another by now. */
static bool was_killed(const mf_run_entry *r)
{
    char host[256];

    get_host(host);
    if (strcmp(r->status, "running") || strcmp(r->host, host))
        return false;
    if (kill((pid_t)r->pid, 0) != 0 && errno == ESRCH)
        return true;
    return process_start(r->pid) > (double)r->start + 5;
}

static mf_status take_run(sqlite3_stmt *s, mf_run_entry **runs, size_t *count)
{
    mf_run_entry *grown = mf_list_more(*runs, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *runs = grown;
    mf_run_entry *r = &grown[(*count)++];
    *r = (mf_run_entry){.id = sqlite3_column_int64(s, 0),
                        .graph = column_text(s, 1),
                        .command = column_text(s, 2),
                        .start = sqlite3_column_int64(s, 3),
                        .end = sqlite3_column_int64(s, 4),
                        .status = column_text(s, 5),
                        .version = column_text(s, 6),
                        .host = column_text(s, 7),
                        .pid = sqlite3_column_int64(s, 8),
                        .slots = sqlite3_column_int(s, 9)};
    for (int i = 0; i < MF_OUTCOME_COUNT; i++)
        r->counts[i] = sqlite3_column_int64(s, 10 + i);
    if (!r->graph || !r->command || !r->status || !r->version || !r->host)
        return no_memory();
    if (was_killed(r))
        strcpy(r->status, "killed"); /* shorter than "running" */
    return MF_OK;
}

static mf_status list_runs(mf__connection *c, const char *graph, size_t limit, mf_run_entry **runs,
                           size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT r.num, r.graph, r.command, r.started, r.ended, r.status, r.version,"
                       " r.host, r.pid, r.slots,"
                       " sum(n.outcome = 0), sum(n.outcome = 1), sum(n.outcome = 2),"
                       " sum(n.outcome = 3), sum(n.outcome = 4), sum(n.outcome = 5)"
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
        free((char *)list[i].device);
        free((char *)list[i].place);
        free((char *)list[i].message);
        free((char *)list[i].key);
    }
    free(list);
}

static mf_status take_node(sqlite3_stmt *s, mf_run_node **list, size_t *count)
{
    char key[MF_HEX_SIZE];
    mf_run_node *grown = mf_list_more(*list, *count, sizeof *grown);
    if (!grown)
        return no_memory();
    *list = grown;
    mf_run_node *n = &grown[(*count)++];
    bool keyed = mf__column_hex(s, 4, key);
    *n = (mf_run_node){.node = column_text(s, 0),
                       .outcome = (mf_outcome)sqlite3_column_int(s, 1),
                       .seconds = sqlite3_column_double(s, 2),
                       .message = column_text(s, 3),
                       .key = keyed ? strdup(key) : NULL,
                       .started = sqlite3_column_double(s, 5),
                       .device = column_text(s, 6),
                       .peak_bytes = sqlite3_column_int64(s, 7),
                       .own_process = sqlite3_column_int(s, 8) != 0,
                       .place = column_text(s, 9)};
    return n->node && n->message && n->device && n->place && (n->key || !keyed) ? MF_OK
                                                                                : no_memory();
}

static mf_status list_nodes(mf__connection *c, int64_t run, mf_run_node **list, size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT node, outcome, seconds, message, key, started, device, peak_bytes,"
                       " own_process, place FROM run_node WHERE run = ? ORDER BY node",
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

static mf_status find_outcome(mf__connection *c, const char *node, const uint8_t *key,
                              mf_outcome *outcome, char **message)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT outcome, message FROM run_node WHERE node = ? AND key = ?"
                       " ORDER BY run DESC LIMIT 1",
                       &s, "td", node, key));
    MF_TRY(mf__step(c, s, &row));
    if (row) {
        *outcome = (mf_outcome)sqlite3_column_int(s, 0);
        *message = column_text(s, 1);
    }
    sqlite3_reset(s);
    return row && !*message ? no_memory() : MF_OK;
}

mf_status mf_store_last_outcome(mf_store *store, const char *node, const char *key,
                                mf_outcome *outcome, char **message)
{
    uint8_t bytes[MF_DIGEST_BYTES];
    mf__reader *r;
    *outcome = MF_OUTCOME_COUNT;
    *message = NULL;
    if (!mf_hex_decode(key, bytes))
        return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", key);
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = find_outcome(r->index, node, bytes, outcome, message);
    mf__reader_put(store, r);
    return status;
}

void mf_run_line_list_free(mf_run_line *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free((char *)list[i].node);
        free((char *)list[i].text);
    }
    free(list);
}

static mf_status list_lines(mf__connection *c, int64_t run, const char *node, mf_run_line **list,
                            size_t *count)
{
    sqlite3_stmt *s;
    bool row;
    mf_status status = MF_OK;
    MF_TRY(mf__prepare(c,
                       "SELECT node, at, text FROM run_line"
                       " WHERE run = ?1 AND (?2 IS NULL OR node = ?2) ORDER BY num",
                       &s, "it", run, node));
    MF_TRY(mf__step(c, s, &row));
    while (row && !status) {
        mf_run_line *grown = mf_list_more(*list, *count, sizeof *grown);
        if (!grown) {
            status = no_memory();
            break;
        }
        *list = grown;
        grown[*count] =
            (mf_run_line){column_text(s, 0), sqlite3_column_double(s, 1), column_text(s, 2)};
        if (!grown[*count].node || !grown[*count].text)
            status = no_memory();
        (*count)++;
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf_store_list_run_lines(mf_store *store, int64_t run, const char *node,
                                  mf_run_line **list, size_t *count)
{
    mf__reader *r;
    *list = NULL;
    *count = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = list_lines(r->index, run, node, list, count);
    mf__reader_put(store, r);
    if (status) {
        mf_run_line_list_free(*list, *count);
        *list = NULL;
        *count = 0;
    }
    return status;
}
