/* gc.c - drops the data of artifacts that are old or too much, and chunks that nothing names.
 *
 * First, with everybody else kept from looking up and storing (pin.c), the artifacts that go are
 * chosen and marked as not present: that is one short transaction. Then chunks are deleted in
 * slices, each alone again, and only those that no artifact names at that moment. */
#include "store/check.h"

#include <massflow/memory.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_BYTES ((int64_t)64 << 20) /* of chunks deleted in one transaction */
#define VACUUM_PAGES "256"              /* given back in one transaction */
#define FOREIGN_DAYS                                                                               \
    7 /* a run of another host that has said no end for so long is taken for dead */
#define DAY 86400.0

typedef struct candidate {
    int64_t num, stored, used;
    double seconds, worth;
    bool in_use, named, checkpoint, meant, goes, stays;
    const char *why;
} candidate;

typedef struct gc {
    const char *dir;
    const mf_gc_options *options;
    mf_gc_result *result;
    mf__connection *index, *chunks;
    int lock;
    mf__map
        map; /* all chunks: value is the stored size, count: how often present artifacts name it */
    candidate *items;
    size_t count;
    int64_t now, oldest; /* oldest: start of the first run that goes on */
    int64_t version;     /* of the index when `map` was counted */
    char age[64];
} gc;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "collecting in a cache");
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static mf_status load_chunks(gc *g, mf__connection *c)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c, "SELECT digest, stored FROM chunk", &s, ""));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        uint8_t digest[MF_DIGEST_BYTES];
        mf__map_entry *entry;
        if (mf__column_digest(s, 0, digest)) {
            status = mf__map_add(&g->map, digest, &entry);
            if (!status)
                entry->value = sqlite3_column_int64(s, 1);
        }
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status name_chunk(void *self, const uint8_t *digest)
{
    mf__map_entry *entry = mf__map_find(self, digest);
    if (entry)
        entry->count++;
    return MF_OK;
}

/* How often each chunk is named, counted anew. */
static mf_status count_names(gc *g)
{
    sqlite3_stmt *s;
    bool row;
    for (size_t i = 0; i < g->map.room; i++)
        g->map.entries[i].count = 0;
    MF_TRY(mf__prepare(g->index, "SELECT record FROM artifact WHERE present = 1", &s, ""));
    MF_TRY(mf__step(g->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        const void *record = sqlite3_column_blob(s, 0);
        status = record ? mf__record_chunks(record, (size_t)sqlite3_column_bytes(s, 0), name_chunk,
                                            &g->map)
                        : mf_fail(MF_CORRUPT, "the record of an artifact is damaged");
        if (!status)
            status = mf__step(g->index, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static void add_up(const gc *g, int64_t *named, int64_t *unnamed, int64_t *unnamed_count)
{
    *named = *unnamed = *unnamed_count = 0;
    for (size_t i = 0; i < g->map.room; i++) {
        const mf__map_entry *e = &g->map.entries[i];
        if (!e->taken)
            continue;
        *(e->count > 0 ? named : unnamed) += e->value;
        *unnamed_count += e->count <= 0;
    }
}

/* ---- runs that go on ------------------------------------------------------------------------- */

static bool alive(const char *host, int64_t pid, int64_t started, bool running, int64_t now)
{
    char here[256] = "";
    if (gethostname(here, sizeof here - 1) != 0)
        here[0] = 0;
    if (!strcmp(host, here))
        return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
    return running && (double)(now - started) < FOREIGN_DAYS * DAY;
}

/* Fills the table live. Of a process that is still there also runs that have ended count: it may be
 * writing their exports. */
static mf_status find_live(gc *g)
{
    sqlite3_stmt *s;
    bool row;
    g->oldest = INT64_MAX;
    MF_TRY(mf__script(g->index, "CREATE TEMP TABLE IF NOT EXISTS live (num INTEGER PRIMARY KEY);"
                                "DELETE FROM live"));
    MF_TRY(mf__prepare(g->index,
                       "SELECT num, host, pid, started, status FROM run"
                       " WHERE status = 'running' OR ended > ? - 86400",
                       &s, "i", g->now));
    MF_TRY(mf__step(g->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        const char *host = (const char *)sqlite3_column_text(s, 1);
        const char *state = (const char *)sqlite3_column_text(s, 4);
        int64_t started = sqlite3_column_int64(s, 3);
        if (alive(host ? host : "", sqlite3_column_int64(s, 2), started,
                  state && !strcmp(state, "running"), g->now)) {
            g->result->runs++;
            g->oldest = started < g->oldest ? started : g->oldest;
            status =
                mf__exec(g->index, "INSERT INTO live VALUES (?)", "i", sqlite3_column_int64(s, 0));
        }
        if (!status)
            status = mf__step(g->index, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

/* ---- what there is --------------------------------------------------------------------------- */

static mf_status take_candidate(gc *g, sqlite3_stmt *s)
{
    candidate *grown = mf_list_more(g->items, g->count, sizeof *grown);
    if (!grown)
        return no_memory();
    g->items = grown;
    candidate *c = &g->items[g->count++];
    *c = (candidate){.num = sqlite3_column_int64(s, 0),
                     .stored = sqlite3_column_int64(s, 1),
                     .used = sqlite3_column_int64(s, 2),
                     .seconds = sqlite3_column_double(s, 3),
                     .in_use = sqlite3_column_int(s, 4) != 0,
                     .named = sqlite3_column_type(s, 3) != SQLITE_NULL,
                     .checkpoint = sqlite3_column_int(s, 5) != 0};
    /* Stored by a run that goes on and not named by it yet, or a state that it may go on from. */
    if (g->result->runs && (c->checkpoint || (!c->named && c->used >= g->oldest)))
        c->in_use = true;
    double days = (double)(g->now > c->used ? g->now - c->used : 0) / DAY;
    c->worth = (c->seconds + 0.01) / ((double)c->stored + 4096) / (1 + days);
    return MF_OK;
}

static mf_status load_artifacts(gc *g)
{
    sqlite3_stmt *s;
    bool row;
    /* An artifact was last used when it was stored, or by the last run that made or found one of
     * the actions that name it. */
    MF_TRY(mf__prepare(
        g->index,
        "WITH seen AS (SELECT n.key AS key, max(r.started) AS at,"
        "   max(n.run IN (SELECT num FROM live)) AS live"
        "   FROM run_node n JOIN run r ON r.num = n.run WHERE n.key IS NOT NULL GROUP BY n.key),"
        " made AS (SELECT o.artifact AS artifact, max(max(a.created, ifnull(s.at, 0))) AS at,"
        "   min(a.seconds) AS seconds,"
        "   max(max(a.run IN (SELECT num FROM live), ifnull(s.live, 0))) AS live"
        "   FROM output o JOIN action a ON a.num = o.action LEFT JOIN seen s ON s.key = a.key"
        "   GROUP BY o.artifact)"
        " SELECT f.num, f.stored, max(f.created, ifnull(f.used, 0), ifnull(m.at, 0)), m.seconds,"
        "   ifnull(m.live, 0), EXISTS (SELECT 1 FROM checkpoint k WHERE k.artifact = f.num)"
        " FROM artifact f LEFT JOIN made m ON m.artifact = f.num WHERE f.present = 1",
        &s, ""));
    MF_TRY(mf__step(g->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = take_candidate(g, s);
        if (!status)
            status = mf__step(g->index, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

/* ---- choosing -------------------------------------------------------------------------------- */

typedef struct release {
    gc *gc;
    int64_t bytes; /* of chunks that nobody names any more */
} release;

static mf_status release_chunk(void *self, const uint8_t *digest)
{
    release *r = self;
    mf__map_entry *entry = mf__map_find(&r->gc->map, digest);
    if (entry && --entry->count == 0)
        r->bytes += entry->value;
    return MF_OK;
}

static mf_status let_go(gc *g, candidate *c, const char *why, int64_t *left)
{
    sqlite3_stmt *s;
    bool row;
    release r = {.gc = g};
    c->goes = true;
    c->why = why;
    MF_TRY(mf__prepare(g->index, "SELECT record FROM artifact WHERE num = ?", &s, "i", c->num));
    MF_TRY(mf__step(g->index, s, &row));
    mf_status status = MF_OK;
    if (row && sqlite3_column_blob(s, 0))
        status = mf__record_chunks(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0),
                                   release_chunk, &r);
    sqlite3_reset(s);
    g->result->artifacts++;
    g->result->bytes += r.bytes;
    *left -= r.bytes;
    return status;
}

static int by_worth(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->worth != y->worth)
        return x->worth < y->worth ? -1 : 1;
    return (x->num > y->num) - (x->num < y->num);
}

/* A state that a long stage may go on from is dropped for its age only. */
static bool may_go(const candidate *c)
{
    return !c->goes && !c->in_use && !c->checkpoint && c->stored > 0;
}

/* Means to drop the least worthy until `excess` is covered; then, from the most worthy of these
 * down, keeps what is not needed for it: where one large thing has to go, small ones need not. */
static void mean_to_drop(gc *g, int64_t excess)
{
    int64_t sum = 0;
    size_t end = 0;
    for (; end < g->count && sum < excess; end++)
        if (may_go(&g->items[end])) {
            g->items[end].meant = true;
            sum += g->items[end].stored;
        }
    while (end-- > 0)
        if (g->items[end].meant && sum - g->items[end].stored >= excess) {
            g->items[end].meant = false;
            sum -= g->items[end].stored;
        }
}

static mf_status choose(gc *g)
{
    int64_t left;
    const mf_gc_options *o = g->options;
    add_up(g, &left, &g->result->unnamed_bytes, &g->result->unnamed);
    if (g->count)
        qsort(g->items, g->count, sizeof *g->items, by_worth);
    for (size_t i = 0; i < g->count; i++) {
        candidate *c = &g->items[i];
        if (!c->in_use && !c->named && !c->checkpoint)
            MF_TRY(let_go(g, c, "no action names it", &left));
        else if (!c->in_use && o->age >= 0 && c->used < g->now - o->age)
            MF_TRY(let_go(g, c, g->age, &left));
    }
    /* Sizes count shared chunks more than once: what was meant may not be enough. */
    if (o->size >= 0)
        mean_to_drop(g, left - o->size);
    for (int all = 0; all < 2; all++)
        for (size_t i = 0; i < g->count && o->size >= 0 && left > o->size; i++)
            if (may_go(&g->items[i]) && (all || g->items[i].meant))
                MF_TRY(let_go(g, &g->items[i], "the cache is over its size", &left));
    g->result->kept_bytes = left;
    for (size_t i = 0; i < g->count; i++) {
        g->result->kept += !g->items[i].goes;
        g->result->in_use += g->items[i].in_use;
    }
    return MF_OK;
}

/* ---- what was asked for by its key ----------------------------------------------------------- */

/* Fills the table asked. */
static mf_status list_keys(gc *g)
{
    MF_TRY(mf__script(g->index, "CREATE TEMP TABLE IF NOT EXISTS asked (key BLOB PRIMARY KEY);"
                                "DELETE FROM asked"));
    for (size_t i = 0; i < g->options->key_count; i++) {
        uint8_t key[MF_DIGEST_BYTES];
        if (!mf_hex_decode(g->options->keys[i], key))
            return mf_fail(MF_INVALID, "'%s' is no key of an action", g->options->keys[i]);
        MF_TRY(mf__exec(g->index, "INSERT OR IGNORE INTO asked VALUES (?)", "d", key));
    }
    return MF_OK;
}

static candidate *find_candidate(gc *g, int64_t num)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->items[i].num == num)
            return &g->items[i];
    return NULL;
}

static mf_status choose_asked(gc *g)
{
    int64_t left;
    sqlite3_stmt *s;
    bool row;
    add_up(g, &left, &g->result->unnamed_bytes, &g->result->unnamed);
    MF_TRY(list_keys(g));
    MF_TRY(mf__prepare(g->index,
                       "SELECT o.artifact, sum(a.key NOT IN (SELECT key FROM asked)) FROM output o"
                       " JOIN action a ON a.num = o.action GROUP BY o.artifact"
                       " HAVING sum(a.key IN (SELECT key FROM asked)) > 0",
                       &s, ""));
    MF_TRY(mf__step(g->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        candidate *c = find_candidate(g, sqlite3_column_int64(s, 0));
        if (c && !c->in_use && !sqlite3_column_int64(s, 1)) {
            status = let_go(g, c, "asked for", &left);
        } else if (c) {
            c->stays = true;
            c->why = c->in_use ? "a run that goes on uses it" : "another result is the same";
        }
        if (!status)
            status = mf__step(g->index, s, &row);
    }
    sqlite3_reset(s);
    g->result->kept_bytes = left;
    for (size_t i = 0; i < g->count; i++) {
        g->result->kept += !g->items[i].goes;
        g->result->in_use += g->items[i].in_use;
    }
    return status;
}

static mf_status tell_one(gc *g, const candidate *c, mf_gc_call tell, void *self)
{
    sqlite3_stmt *s;
    bool row;
    char id[MF_HEX_SIZE] = "";
    MF_TRY(mf__prepare(g->index,
                       "SELECT f.id, f.type, (SELECT a.stage FROM output o JOIN action a"
                       " ON a.num = o.action WHERE o.artifact = f.num LIMIT 1)"
                       " FROM artifact f WHERE f.num = ?",
                       &s, "i", c->num));
    MF_TRY(mf__step(g->index, s, &row));
    if (!row)
        return MF_OK;
    mf__column_hex(s, 0, id);
    const char *type = (const char *)sqlite3_column_text(s, 1);
    const char *stage = (const char *)sqlite3_column_text(s, 2);
    tell(self, &(mf_gc_item){.id = id,
                             .type = type ? type : "",
                             .stage = stage ? stage : "",
                             .bytes = c->stored,
                             .used = c->used,
                             .seconds = c->seconds,
                             .why = c->why,
                             .stays = c->stays});
    sqlite3_reset(s);
    return MF_OK;
}

/* ---- dropping -------------------------------------------------------------------------------- */

static mf_status mark_all(gc *g)
{
    for (size_t i = 0; i < g->count; i++) {
        const candidate *c = &g->items[i];
        if (!c->goes)
            continue;
        MF_TRY(mf__exec(g->index, "DELETE FROM checkpoint WHERE artifact = ?", "i", c->num));
        MF_TRY(mf__exec(g->index,
                        c->named ? "UPDATE artifact SET present = 0 WHERE num = ?"
                                 : "DELETE FROM artifact WHERE num = ?",
                        "i", c->num));
    }
    return MF_OK;
}

static mf_status in_transaction(mf__connection *c, mf_status (*work)(gc *g), gc *g)
{
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    mf_status status = work(g);
    if (!status)
        status = mf__script(c, "COMMIT");
    if (status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    return status;
}

/* Deletes up to a slice of chunks that nobody names; *more where some are left. */
static mf_status delete_slice(gc *g, mf__connection *c, size_t *at, bool *more)
{
    int64_t bytes = 0, version;
    MF_TRY(mf__integer(g->index, "PRAGMA data_version", &version));
    if (version != g->version) /* somebody has stored something meanwhile */
        MF_TRY(count_names(g));
    g->version = version;
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    mf_status status = MF_OK;
    for (; *at < g->map.room && bytes < SLICE_BYTES && !status; ++*at) {
        mf__map_entry *e = &g->map.entries[*at];
        if (!e->taken || e->count > 0)
            continue;
        bytes += e->value;
        status = mf__chunk_delete(c, e->digest);
    }
    if (!status)
        status = mf__script(c, "COMMIT");
    if (status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    *more = *at < g->map.room;
    return status;
}

static mf_status delete_chunks(gc *g, mf__connection *c)
{
    bool more = true;
    for (size_t at = 0; more;) {
        MF_TRY(mf__lock_alone(g->lock, g->dir));
        mf_status status = delete_slice(g, c, &at, &more);
        mf__lock_release(g->lock);
        MF_TRY(status);
    }
    return MF_OK;
}

/* A little at a time: writers wait for each. */
static mf_status vacuum(mf__connection *c)
{
    int64_t free_pages = 0, before;
    do {
        before = free_pages;
        MF_TRY(mf__script(c, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")"));
        MF_TRY(mf__integer(c, "PRAGMA freelist_count", &free_pages));
    } while (free_pages > 0 && free_pages != before);
    return MF_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int64_t sizes(const char *dir)
{
    static const char *const names[] = {"cache.db", "cache.db-wal", "chunks.db"};
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat st;
        char *path;
        if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
            return bytes;
        if (stat(path, &st) == 0)
            bytes += st.st_size;
        free(path);
    }
    return bytes;
}

static mf_status decide(gc *g)
{
    MF_TRY(find_live(g));
    MF_TRY(load_chunks(g, g->index));
    MF_TRY(load_chunks(g, g->chunks));
    MF_TRY(count_names(g));
    MF_TRY(load_artifacts(g));
    return g->options->keys ? choose_asked(g) : choose(g);
}

static mf_status decide_and_mark(gc *g, mf_gc_call tell, void *self)
{
    MF_TRY(mf__integer(g->index, "PRAGMA data_version", &g->version));
    MF_TRY(decide(g));
    for (size_t i = 0; i < g->count && tell; i++)
        if (g->items[i].goes || g->items[i].stays)
            MF_TRY(tell_one(g, &g->items[i], tell, self));
    return g->options->dry ? MF_OK : in_transaction(g->index, mark_all, g);
}

static mf_status collect(gc *g, mf_gc_call tell, void *self)
{
    MF_TRY(mf__lock_alone(g->lock, g->dir));
    mf_status status = decide_and_mark(g, tell, self);
    mf__lock_release(g->lock);
    MF_TRY(status);
    if (g->options->dry)
        return MF_OK;
    MF_TRY(delete_chunks(g, g->index));
    MF_TRY(delete_chunks(g, g->chunks));
    MF_TRY(vacuum(g->index));
    return vacuum(g->chunks);
}

/* Both files, brought to this schema by opening the store once. */
static mf_status open_files(gc *g)
{
    mf_store *store;
    char *index, *chunks;
    MF_TRY(mf_store_open(g->dir, MF_STORE_READ, &store));
    mf_store_close(store);
    MF_TRY(mf__lock_open(g->dir, &g->lock));
    mf_status status = mf__paths(g->dir, &index, &chunks);
    if (!status)
        status = mf__connection_open(index, MF__CREATE, &g->index);
    if (!status)
        status = mf__connection_open(chunks, MF__CREATE, &g->chunks);
    if (!status)
        status = mf__set_up(g->index, MF__INDEX, g->dir);
    if (!status)
        status = mf__set_up(g->chunks, MF__CHUNKS, g->dir);
    free(index);
    free(chunks);
    return status;
}

mf_status mf_store_gc(const char *dir, const mf_gc_options *options, mf_gc_call tell, void *self,
                      mf_gc_result *result)
{
    gc g = {.dir = dir, .options = options, .result = result, .lock = -1, .now = mf__now()};
    *result = (mf_gc_result){.file_bytes_before = sizes(dir)};
    if (options->age % (int64_t)DAY)
        snprintf(g.age, sizeof g.age, "not used for %lld s", (long long)options->age);
    else
        snprintf(g.age, sizeof g.age, "not used for %lld days",
                 (long long)(options->age / (int64_t)DAY));
    mf_status status = open_files(&g);
    if (!status)
        status = collect(&g, tell, self);
    mf__connection_close(g.index);
    mf__connection_close(g.chunks);
    if (g.lock >= 0)
        close(g.lock);
    mf__map_clear(&g.map);
    free(g.items);
    result->file_bytes = sizes(dir);
    return mf_within(status, "while collecting in the cache");
}
