/* leases.c - who runs an action now.
 *
 * An owner is a store that a process has open: a random token names it. Whether its process lives
 * is looked up where that can be known: on the same running system (boot id and namespace of
 * process numbers are the same) by the process's number and the time it was started, so that a
 * number that is used again is not mistaken. Elsewhere only its heartbeat tells. */
#include "store/leases.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct self {
    char host[256], machine[128];
    int64_t pid, process; /* process: when it was started, in ticks since the system was */
} self;

/* ---- processes ------------------------------------------------------------------------------- */

static void read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    text[0] = 0;
    if (!file)
        return;
    if (!fgets(text, (int)size, file))
        text[0] = 0;
    fclose(file);
    text[strcspn(text, "\n")] = 0;
}

/* When a process of this system was started; -1 where there is none (a zombie has ended too). */
static int64_t start_of(int64_t pid)
{
    char path[64], line[1024], state = 0;
    long long start = -1;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    read_line(path, line, sizeof line);
    const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %lld",
                        &state, &start) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : start;
}

static void know_self(self *me)
{
    char boot[64], space[48];
    ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[length < 0 ? 0 : length] = 0;
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(me->machine, sizeof me->machine, "%s %s", boot, space);
    if (gethostname(me->host, sizeof me->host - 1) != 0)
        me->host[0] = 0;
    me->host[sizeof me->host - 1] = 0;
    me->pid = getpid();
    me->process = start_of(me->pid);
}

/* ---- looking --------------------------------------------------------------------------------- */

static mf_status decode(const char *key, uint8_t digest[MF_DIGEST_BYTES])
{
    if (mf_hex_decode(key, digest))
        return MF_OK;
    return mf_fail(MF_INVALID, "'%s' is no action key: 64 hex digits", key);
}

static mf_status is_done(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES], bool *done)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(c,
                       "SELECT 1 FROM action a WHERE a.num = " MF__ACTION("?1", "NULL")
                       " AND NOT EXISTS (SELECT 1 FROM output o JOIN artifact f"
                       " ON f.num = o.artifact WHERE o.action = a.num AND f.present = 0)",
                       &s, "d", key));
    MF_TRY(mf__step(c, s, done));
    sqlite3_reset(s);
    return MF_OK;
}

static bool lives(sqlite3_stmt *s, const self *me, int64_t dead)
{
    const char *machine = (const char *)sqlite3_column_text(s, 3);
    if (machine && strcmp(machine, me->machine) == 0)
        return start_of(sqlite3_column_int64(s, 2)) == sqlite3_column_int64(s, 4);
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
    bool ours = mf__column_digest(s, 0, theirs) && memcmp(theirs, token, MF_DIGEST_BYTES) == 0;
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
                    "ddtitiii", t->key, t->token, me.host, me.pid, me.machine, me.process, now,
                    now);
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
    return mf_within(mf__write(store, end, &o), "while letting go of a lease");
}

static mf_status beat(mf__connection *c, void *token)
{
    return mf__exec(c, "UPDATE lease SET heartbeat = ? WHERE token = ?", "id", mf__now(), token);
}

mf_status mf_store_lease_beat(mf_store *store)
{
    return mf_within(mf__write(store, beat, store->token), "while keeping leases");
}
