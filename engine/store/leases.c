/* leases.c - who runs an action now.
 *
 * An owner is a store that a process has open: a random token names it. Whether its process lives
 * is looked up where that can be known (process.h). Elsewhere only its heartbeat tells. */
#include "store/leases.h"
#include "store/internal.h"
#include "store/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct self {
    char host[256];
    mf_process process;
} self;

static void know_self(self *me)
{
    mf_process_self(&me->process);
    if (gethostname(me->host, sizeof me->host - 1) != 0)
        me->host[0] = 0;
    me->host[sizeof me->host - 1] = 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static mf_status decode(const char *key, uint8_t digest[MF_DIGEST_BYTES])
{
    if (mf_hex_decode(key, digest))
        return MF_OK;
    return mf_fail(MF_INVALID, "'%s' is not an action key: 64 hex digits", key);
}

static mf_status is_done(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES], bool *done)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(
        c,
        "SELECT 1 FROM action a WHERE a.num = " MF__ACTION(
            "?1", "NULL") " AND NOT EXISTS (SELECT 1 FROM output o JOIN artifact f"
                          " ON f.num = o.artifact WHERE o.action = a.num AND f.present = 0)",
        &s, "d", key));
    MF_TRY(mf__step(c, s, done));
    sqlite3_reset(s);
    return MF_OK;
}

static bool lives(sqlite3_stmt *s, const self *me, int64_t dead)
{
    const char *machine = (const char *)sqlite3_column_text(s, 3);
    if (mf_process_near(&me->process, machine))
        return mf_process_start(sqlite3_column_int64(s, 2)) == sqlite3_column_int64(s, 4);
    return !dead || sqlite3_column_int64(s, 6) != dead;
}

/* *held: by another than `token`, who lives or may live. */
static mf_status find_owner(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                            const uint8_t token[MF_DIGEST_BYTES], int64_t dead, bool *held,
                            mf_lease_owner *owner)
{
    sqlite3_stmt *s;
    bool row;
    uint8_t theirs[MF_DIGEST_BYTES];
    self me;
    *held = false;
    MF_TRY(mf__prepare(c,
                       "SELECT token, host, pid, machine, process, since, heartbeat FROM lease"
                       " WHERE key = ?",
                       &s, "d", key));
    MF_TRY(mf__step(c, s, &row));
    if (!row)
        return MF_OK;
    know_self(&me);
    bool ours = mf__column_digest(s, 0, theirs) && !memcmp(theirs, token, MF_DIGEST_BYTES);
    const char *host = (const char *)sqlite3_column_text(s, 1);
    snprintf(owner->host, sizeof owner->host, "%s", host ? host : "");
    owner->pid = sqlite3_column_int64(s, 2);
    owner->heartbeat = sqlite3_column_int64(s, 6);
    owner->seconds = mf__now() - sqlite3_column_int64(s, 5);
    if (owner->seconds < 0)
        owner->seconds = 0; /* another machine's clock */
    *held = !ours && lives(s, &me, dead);
    sqlite3_reset(s);
    return MF_OK;
}

static mf_status look(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                      const uint8_t token[MF_DIGEST_BYTES], int64_t dead, mf_lease_state *state,
                      mf_lease_owner *owner)
{
    bool done, held;
    MF_TRY(is_done(c, key, &done));
    MF_TRY(find_owner(c, key, token, dead, &held, owner));
    *state = done ? MF_LEASE_DONE : held ? MF_LEASE_HELD : MF_LEASE_FREE;
    return MF_OK;
}

mf_status mf_store_lease_look(mf_store *store, const char *key, int64_t dead, mf_lease_state *state,
                              mf_lease_owner *owner)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    MF_TRY(decode(key, digest));
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = look(r->index, digest, store->token, dead, state, owner);
    mf__reader_put(store, r);
    return status;
}

/* ---- taking ---------------------------------------------------------------------------------- */

typedef struct take {
    uint8_t key[MF_DIGEST_BYTES];
    const uint8_t *token;
    int64_t dead;
    bool insist;
    mf_lease_state state;
    mf_lease_owner owner;
} take;

/* In one transaction, so that of two only one is first. */
static mf_status insert(mf__connection *c, void *arg)
{
    take *t = arg;
    bool held;
    self me;
    int64_t now = mf__now();
    MF_TRY(look(c, t->key, t->token, t->dead, &t->state, &t->owner));
    if (t->state == MF_LEASE_DONE && t->insist) {
        MF_TRY(find_owner(c, t->key, t->token, t->dead, &held, &t->owner));
        t->state = held ? MF_LEASE_HELD : MF_LEASE_FREE;
    }
    if (t->state != MF_LEASE_FREE)
        return MF_OK;
    know_self(&me);
    return mf__exec(c,
                    "INSERT OR REPLACE INTO lease"
                    " (key, token, host, pid, machine, process, since, heartbeat)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    "ddtitiii", t->key, t->token, me.host, me.process.pid, me.process.machine,
                    me.process.start, now, now);
}

mf_status mf_store_lease_take(mf_store *store, const char *key, int64_t dead, bool insist,
                              mf_lease_state *state, mf_lease_owner *owner)
{
    take t = {.token = store->token, .dead = dead, .insist = insist};
    MF_TRY(decode(key, t.key));
    MF_TRY(mf_within(mf__write(store, insert, &t), "while taking a lease"));
    *state = t.state;
    *owner = t.owner;
    return MF_OK;
}

/* ---- keeping and letting go ------------------------------------------------------------------ */

typedef struct own {
    uint8_t key[MF_DIGEST_BYTES];
    const uint8_t *token;
} own;

mf_status mf__lease_end(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                        const uint8_t token[MF_DIGEST_BYTES])
{
    return mf__exec(c, "DELETE FROM lease WHERE key = ? AND token = ?", "dd", key, token);
}

static mf_status end(mf__connection *c, void *arg)
{
    const own *o = arg;
    return mf__lease_end(c, o->key, o->token);
}

mf_status mf_store_lease_drop(mf_store *store, const char *key)
{
    own o = {.token = store->token};
    MF_TRY(decode(key, o.key));
    return mf_within(mf__write(store, end, &o), "while releasing a lease");
}

static mf_status beat(mf__connection *c, void *token)
{
    return mf__exec(c, "UPDATE lease SET heartbeat = ? WHERE token = ?", "id", mf__now(), token);
}

mf_status mf_store_lease_beat(mf_store *store)
{
    return mf_within(mf__write(store, beat, store->token), "while renewing leases");
}
