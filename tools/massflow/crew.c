/* crew.c - see crew.h. A file CACHE/workers-HOST-PID.json:
 *
 *     {"version": 1, "process": 4711, "host": "login1", "graph": "/home/me/g.yaml",
 *      "address": "login1:38505", "written": 1764528000.5,
 *      "counts": {"wanted": 60, "done": 20, "cached": 2, "failed": 0},
 *      "workers": [{"name": "n1:812", "pool": "gpu", "state": "open", "slots": 8, "devices": 1,
 *                   "memory": 32000000000, "running": 3, "sent": 1200, "received": 50,
 *                   "joined": 1764527000.5, "waited": 12.5, "left": 3600.0}],
 *      "pools": [{"name": "gpu", "wanted": 4, "connected": 1, "waiting": 2, "running": 1,
 *                 "reason": "Resources", "excluded": "", "trouble": ""}]} */
#include "crew.h"

#include <massflow/file.h>
#include <massflow/memory.h>
#include <massflow/seconds.h>

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVERY 1.0 /* s between two writes */
#define LARGEST ((size_t)64 << 20)

/* What is followed of a worker. */
typedef struct member {
    double joined; /* since 1970 */
    double waited; /* s without a node */
} member;

struct crew {
    const workspace *work;
    mf_workers *workers;
    run_pools *pools;
    char host[256], *path, *aside;
    double written; /* by mf_seconds */
    member *members;
    size_t count;
};

static double since_1970(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Files of runs of this host that were killed. */
static void sweep(const char *cache, const char *host)
{
    DIR *folder = opendir(cache);
    size_t length = strlen(host);

    for (struct dirent *e; folder && (e = readdir(folder));) {
        if (strncmp(e->d_name, "workers-", 8) || strncmp(e->d_name + 8, host, length) ||
            e->d_name[8 + length] != '-')
            continue;
        int pid = atoi(e->d_name + 8 + length + 1);
        if (pid > 0 && kill(pid, 0) && errno == ESRCH)
            unlinkat(dirfd(folder), e->d_name, 0);
    }
    if (folder)
        closedir(folder);
}

crew *crew_new(const workspace *w, mf_workers *workers, run_pools *pools)
{
    crew *c = calloc(1, sizeof *c);
    const char *cache = mf_store_dir(w->store);

    if (!c)
        return NULL;
    c->work = w;
    c->workers = workers;
    c->pools = pools;
    c->written = -INFINITY;
    if (gethostname(c->host, sizeof c->host - 1))
        strcpy(c->host, "localhost");
    if (asprintf(&c->path, "%s/workers-%s-%d.json", cache, c->host, (int)getpid()) < 0)
        c->path = NULL;
    if (asprintf(&c->aside, "%s/.workers-%s-%d", cache, c->host, (int)getpid()) < 0)
        c->aside = NULL;
    if (c->path && c->aside) {
        sweep(cache, c->host);
        return c;
    }
    crew_free(c);
    return NULL;
}

void crew_free(crew *c)
{
    if (!c)
        return;
    if (c->path)
        unlink(c->path);
    free(c->path);
    free(c->aside);
    free(c->members);
    free(c);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_text(json_object *o, const char *name, const char *text)
{
    json_object_object_add(o, name, json_object_new_string(text));
}

static void add_int(json_object *o, const char *name, int64_t number)
{
    json_object_object_add(o, name, json_object_new_int64(number));
}

static void add_real(json_object *o, const char *name, double number)
{
    json_object_object_add(o, name, json_object_new_double(number));
}

static json_object *worker_of(const mf_worker_state *s, const member *m)
{
    json_object *o = json_object_new_object();

    add_text(o, "name", s->name);
    add_text(o, "pool", s->pool);
    add_text(o, "state", s->lost ? "gone" : s->open ? "open" : "ending");
    add_int(o, "slots", s->slots);
    add_int(o, "devices", (int64_t)s->device_count);
    add_int(o, "memory", (int64_t)s->bytes);
    add_int(o, "running", (int64_t)s->running);
    add_int(o, "sent", s->sent);
    add_int(o, "received", s->received);
    add_real(o, "joined", m->joined);
    add_real(o, "waited", m->waited);
    if (!isinf(s->ends))
        add_real(o, "left", s->ends - mf_seconds());
    return o;
}

static json_object *workers_of(crew *c, double passed)
{
    json_object *all = json_object_new_array();
    size_t count = mf_workers_count(c->workers);

    while (c->count < count) {
        member *more = mf_list_more(c->members, c->count, sizeof *more);
        if (!more)
            break;
        c->members = more;
        c->members[c->count++] = (member){since_1970(), 0};
    }
    for (size_t i = 0; i < c->count; i++) {
        mf_worker_state s;
        mf_workers_state(c->workers, i + 1, &s);
        if (!s.lost && !s.running)
            c->members[i].waited += passed;
        json_object_array_add(all, worker_of(&s, &c->members[i]));
    }
    return all;
}

static json_object *pools_of(const crew *c)
{
    json_object *all = json_object_new_array();

    for (size_t i = 0; c->pools->pools && i < c->pools->count; i++) {
        json_object *o = json_object_new_object();
        mf_pool_state s;
        mf_pools_state(c->pools->pools, i, &s);
        add_text(o, "name", c->pools->chosen[i]->name);
        add_int(o, "wanted", (int64_t)s.wanted);
        add_int(o, "connected", (int64_t)s.connected);
        add_int(o, "waiting", (int64_t)s.waiting);
        add_int(o, "running", (int64_t)s.running);
        add_text(o, "reason", s.reason);
        add_text(o, "excluded", s.excluded);
        add_text(o, "trouble", s.trouble);
        json_object_array_add(all, o);
    }
    return all;
}

static json_object *counts_of(const mf_run_counts *counts)
{
    json_object *o = json_object_new_object();

    add_int(o, "wanted", (int64_t)counts->wanted);
    add_int(o, "done", (int64_t)counts->done);
    add_int(o, "cached", (int64_t)counts->cached);
    add_int(o, "failed", (int64_t)counts->failed);
    return o;
}

void crew_note(crew *c, const mf_run_counts *counts)
{
    double now = mf_seconds(), passed = isinf(c->written) ? 0 : now - c->written;

    if (now - c->written < EVERY)
        return;
    c->written = now;
    json_object *o = json_object_new_object();
    add_int(o, "version", 1);
    add_int(o, "process", getpid());
    add_text(o, "host", c->host);
    add_text(o, "graph", c->work->graph_path);
    add_text(o, "address", mf_workers_address(c->workers));
    add_real(o, "written", since_1970());
    json_object_object_add(o, "counts", counts_of(counts));
    json_object_object_add(o, "workers", workers_of(c, passed));
    json_object_object_add(o, "pools", pools_of(c));
    FILE *file = fopen(c->aside, "we");
    if (file) { /* what can't be written is not shown: the run goes on */
        fprintf(file, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        if (fclose(file) || rename(c->aside, c->path))
            unlink(c->aside);
    }
    json_object_put(o);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A file that is not whole, or of another version, is none. */
static json_object *read_file(const char *folder, const char *name)
{
    char *path, *text = NULL;
    size_t size;
    json_object *o = NULL, *version;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return NULL;
    mf_error_free(mf_file_read(path, LARGEST, &text, &size));
    free(path);
    if (text)
        o = json_tokener_parse(text);
    free(text);
    if (json_object_object_get_ex(o, "version", &version) && json_object_get_int(version) == 1)
        return o;
    json_object_put(o);
    return NULL;
}

mf_status crew_read(const char *cache, json_object **runs)
{
    DIR *folder = opendir(cache);

    *runs = NULL;
    if (!folder)
        return mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "cannot read %s: %s", cache,
                       strerror(errno));
    *runs = json_object_new_array();
    for (struct dirent *e; (e = readdir(folder));) {
        json_object *o = strncmp(e->d_name, "workers-", 8) ? NULL : read_file(cache, e->d_name);
        if (o)
            json_object_array_add(*runs, o);
    }
    closedir(folder);
    return MF_OK;
}
