/* site.c - see site.h. Every error has its place; a key that is not known is told the nearest. */
#include "run/pool/site.h"

#include "base/arena.h"
#include "graph/text/names.h"
#include "graph/text/quantity.h"
#include "graph/text/yaml.h"
#include "stages/stages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_SITE ((size_t)1 << 20) /* bytes of the file */
#define MOST_POOLS 100
#define MOST_TASKS 10000
#define SPOOL_BYTES ((int64_t)50 * 1000 * 1000 * 1000)
#define EARLY 60 /* s that Slurm may send a signal too soon */
#define COUNT(a) (sizeof(a) / sizeof *(a))

struct mf_site {
    mf_arena *arena;
    const char *path, *listen, *folder, *spool;
    int64_t spool_bytes;
    mf_pool *pools;
    size_t count;
};

/* What a function that reads a value needs. */
typedef struct reader {
    mf_arena *arena;
    mf_diagnostics *d;
    const yaml *node; /* the value */
    const char *key;
    mf_pool *pool;
} reader;

static bool wrong(const reader *r, const char *takes)
{
    mf_place place = mf_yaml_place(r->node);
    if (r->node->kind == YAML_SCALAR)
        mf_diagnostics_error(r->d, &place, "'%s' is %s, not '%s'", r->key, takes, r->node->text);
    else
        mf_diagnostics_error(r->d, &place, "'%s' is %s", r->key, takes);
    return false;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_text(const reader *r, const char *takes, const char **text)
{
    if (r->node->kind != YAML_SCALAR || !*r->node->text)
        return wrong(r, takes);
    *text = r->node->text;
    return true;
}

static bool read_number(const reader *r, const char *takes, int least, int most, int *number)
{
    char *end;
    if (r->node->kind != YAML_SCALAR)
        return wrong(r, takes);
    long value = strtol(r->node->text, &end, 10);
    if (end == r->node->text || *end || value < least || value > most)
        return wrong(r, takes);
    *number = (int)value;
    return true;
}

/* A list of texts, or one text. */
static bool read_texts(const reader *r, const char *takes, const char *const **texts, size_t *count)
{
    size_t n = r->node->kind == YAML_LIST ? r->node->count : 1;
    const char **all = mf_arena_alloc(r->arena, n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        reader item = *r;
        item.node = r->node->kind == YAML_LIST ? r->node->items[i] : r->node;
        if (!read_text(&item, takes, &all[i]))
            return false;
    }
    *texts = all;
    *count = n;
    return true;
}

static bool read_submit(const reader *r)
{
    static const char takes[] = "slurm or command";
    const char *text = NULL;
    if (!read_text(r, takes, &text))
        return false;
    r->pool->submit = strcmp(text, "command") ? MF_SUBMIT_SLURM : MF_SUBMIT_COMMAND;
    return r->pool->submit == MF_SUBMIT_COMMAND || !strcmp(text, "slurm") || wrong(r, takes);
}

/* Arguments that massflow gives itself, and where the site says what they are about. */
static const struct {
    const char *name;
    char letter;
    const char *instead;
} own[] = {{"array", 'a', "'max' and 'backlog' say how many there are"},
           {"job-name", 'J', "massflow counts its jobs by their name"},
           {"time", 't', "write the key 'time'"},
           {"signal", 0, "write the key 'signal'"},
           {"output", 'o', "the key 'folder' says where the output of workers goes"},
           {"error", 'e', "the key 'folder' says where the output of workers goes"},
           {"open-mode", 0, "the output of a requeued worker is appended"},
           {"wrap", 0, "the script is massflow's; 'setup' adds lines to it"},
           {"parsable", 0, "massflow gives it"},
           {"wait", 'W', "massflow doesn't wait for a job"},
           {"test-only", 0, "'massflow pools NAME --script' shows what would be submitted"}};

static bool check_argument(const reader *r, const yaml *item)
{
    const char *text = item->text, *name = text + strspn(text, "-");
    size_t dashes = (size_t)(name - text), length = strcspn(name, "=");
    mf_place place = mf_yaml_place(item);
    if (dashes && strcspn(text, " \t\n") < strcspn(text, "=")) {
        mf_diagnostics_error(r->d, &place, "'%s' is one argument with a space in it", text);
        mf_diagnostics_note(r->d, "write it with '=', or as two items of the list");
        return false;
    }
    for (size_t i = 0; i < COUNT(own); i++)
        if ((dashes == 2 && length == strlen(own[i].name) && !strncmp(name, own[i].name, length)) ||
            (dashes == 1 && own[i].letter && *name == own[i].letter)) {
            mf_diagnostics_error(r->d, &place, "'%s' is an argument that massflow gives to sbatch",
                                 text);
            mf_diagnostics_note(r->d, "%s", own[i].instead);
            return false;
        }
    return true;
}

static bool read_sbatch(const reader *r)
{
    static const char takes[] = "a list of arguments, such as [--partition=gpu, --mem=32G]";
    bool good = true;
    if (r->node->kind != YAML_LIST)
        return wrong(r, takes);
    if (!read_texts(r, takes, &r->pool->sbatch, &r->pool->sbatch_count))
        return false;
    for (size_t i = 0; i < r->node->count; i++)
        good &= check_argument(r, r->node->items[i]);
    return good;
}

/* A line in which words in braces stand for something. */
static bool read_line(const reader *r, const char **line)
{
    static const char *const words[] = {"connect", "token", "pool", "name"};
    if (!read_text(r, "a line for a shell", line))
        return false;
    for (const char *c = *line; (c = strchr(c, '{')); c++) {
        size_t length = strcspn(c + 1, "}");
        char *word = mf_arena_copy_n(r->arena, c + 1, length);
        bool known = false;
        if (c > *line && c[-1] == '$') /* the shell's */
            continue;
        for (size_t i = 0; i < COUNT(words); i++)
            known |= !strcmp(words[i], word);
        if (known || !mf__is_name(word))
            continue;
        mf_place place = mf_yaml_place_in(r->node, (size_t)(c - *line), length + 2);
        const char *near = mf_nearest(word, words, COUNT(words));
        mf_diagnostics_error(r->d, &place, "'{%s}' stands for nothing%s%s%s", word,
                             near ? "; did you mean '{" : "", near ? near : "", near ? "}'?" : "");
        mf_diagnostics_note(r->d, "{connect}, {token}, {pool} and {name} are replaced");
        return false;
    }
    return true;
}

static bool read_command(const reader *r)
{
    return read_line(r, &r->pool->command);
}

static bool read_count(const reader *r)
{
    return read_line(r, &r->pool->count);
}

static bool read_cancel(const reader *r)
{
    return read_line(r, &r->pool->cancel);
}

static bool read_setup(const reader *r)
{
    return read_texts(r, "a list of lines of a shell script", &r->pool->setup,
                      &r->pool->setup_count);
}

static bool read_mpi(const reader *r)
{
    static const char takes[] = "a kind of 'srun --mpi', such as pmix";
    if (!read_text(r, takes, &r->pool->mpi))
        return false;
    return mf__is_name(r->pool->mpi) || wrong(r, takes);
}

static bool read_program(const reader *r)
{
    return read_text(r, "massflow as the nodes find it", &r->pool->program);
}

static bool read_time(const reader *r)
{
    static const char takes[] = "a time limit as Slurm takes it, such as 90 (minutes), 12:00:00 or "
                                "2-00:00:00";
    if (!read_text(r, takes, &r->pool->time_text))
        return false;
    return mf__read_time_limit(r->pool->time_text, &r->pool->time) || wrong(r, takes);
}

static bool read_max(const reader *r)
{
    return read_number(r, "a number of workers from 1 to 10000", 1, 10000, &r->pool->max);
}

static bool read_backlog(const reader *r)
{
    return read_number(r, "a number of waiting allocations from 1 to 1000", 1, 1000,
                       &r->pool->backlog);
}

static bool read_idle(const reader *r)
{
    int seconds = 0;
    if (!read_number(r, "a number of seconds from 1 to 86400", 1, 86400, &seconds))
        return false;
    r->pool->idle = seconds;
    return true;
}

static bool read_slots(const reader *r)
{
    return read_number(r, "a number of worker slots from 1 to 9999", 1, 9999, &r->pool->slots);
}

static bool read_memory(const reader *r)
{
    static const char takes[] = "a size such as '30 GB' or '500 MB'";
    const char *text = NULL;
    if (!read_text(r, takes, &text))
        return false;
    return mf__read_bytes(text, &r->pool->memory) || wrong(r, takes);
}

static bool read_devices(const reader *r)
{
    return read_number(r, "a number of devices from 0 to 64", 0, 64, &r->pool->devices);
}

static bool read_signal(const reader *r)
{
    return read_number(r, "a number of seconds from 30 to 3600", 30, 3600, &r->pool->signal);
}

static bool read_token(const reader *r)
{
    static const char takes[] = "file or environment";
    const char *text = NULL;
    if (!read_text(r, takes, &text))
        return false;
    r->pool->token_by_environment = !strcmp(text, "environment");
    return r->pool->token_by_environment || !strcmp(text, "file") || wrong(r, takes);
}

/* ---- arguments of sbatch --------------------------------------------------------------------- */

const char *mf_pool_argument(const mf_pool *p, const char *name, char letter, size_t *first,
                             size_t *behind)
{
    size_t length = strlen(name);
    for (size_t i = p->sbatch_count; i-- > 0;) { /* the last one counts */
        const char *word = p->sbatch[i];
        bool is_long = !strncmp(word, "--", 2) && !strncmp(word + 2, name, length);
        bool is_short = letter && word[0] == '-' && word[1] == letter;
        const char *value = NULL;
        size_t used = 1;
        if (is_long && word[2 + length] == '=')
            value = word + 2 + length + 1;
        else if (is_short && word[2])
            value = word + 2;
        else if (((is_long && !word[2 + length]) || is_short) && i + 1 < p->sbatch_count) {
            value = p->sbatch[i + 1];
            used = 2;
        }
        if (!value)
            continue;
        if (first)
            *first = i;
        if (behind)
            *behind = i + used;
        return value;
    }
    return NULL;
}

static int number_of(const mf_pool *p, const char *name, char letter)
{
    const char *text = mf_pool_argument(p, name, letter, NULL, NULL);
    const long value = text ? strtol(text, NULL, 10) : 0;
    return value > 0 && value <= MOST_TASKS ? (int)value : 0;
}

int mf_pool_tasks(const mf_pool *p)
{
    if (!p->mpi)
        return 1;
    const int all = number_of(p, "ntasks", 'n'), nodes = number_of(p, "nodes", 'N');
    const int each = number_of(p, "ntasks-per-node", 0);
    return all ? all : each * (nodes ? nodes : 1);
}

/* ---- keys ------------------------------------------------------------------------------------ */

enum { SLURM = 1, COMMAND = 2, BOTH = 3 };

static const struct key {
    const char *name;
    bool (*read)(const reader *r);
    int of; /* kinds of pools that have it */
} keys[] = {{"submit", read_submit, BOTH},
            {"sbatch", read_sbatch, SLURM},
            {"command", read_command, COMMAND},
            {"count", read_count, COMMAND},
            {"cancel", read_cancel, COMMAND},
            {"setup", read_setup, SLURM},
            {"program", read_program, SLURM},
            {"token", read_token, SLURM},
            {"time", read_time, BOTH},
            {"max", read_max, BOTH},
            {"backlog", read_backlog, BOTH},
            {"idle", read_idle, BOTH},
            {"slots", read_slots, BOTH},
            {"memory", read_memory, BOTH},
            {"devices", read_devices, BOTH},
            {"signal", read_signal, SLURM},
            {"mpi", read_mpi, SLURM}};

static bool unknown(mf_diagnostics *d, const yaml *key, const char *what, const char *const *all,
                    size_t count)
{
    mf_place place = mf_yaml_place(key);
    const char *near = mf_nearest(key->text, all, count);
    if (near) {
        mf_diagnostics_error(d, &place, "%s '%s'; did you mean '%s'?", what, key->text, near);
        return false;
    }
    mf_diagnostics_error(d, &place, "%s '%s'", what, key->text);
    mf_text list = {0};
    for (size_t i = 0; i < count; i++)
        mf_text_add(&list, "%s%s", i ? ", " : "", all[i]);
    mf_diagnostics_note(d, "the keys are %s", list.data);
    free(list.data);
    return false;
}

static bool read_key(mf_arena *arena, mf_diagnostics *d, mf_pool *pool, const yaml *key,
                     const yaml *value)
{
    const char *known[COUNT(keys)];
    for (size_t i = 0; i < COUNT(keys); i++) {
        known[i] = keys[i].name;
        if (!strcmp(key->text, keys[i].name))
            return keys[i].read(&(reader){arena, d, value, keys[i].name, pool});
    }
    return unknown(d, key, "a pool has no key", known, COUNT(known));
}

/* Keys of the other kind of pool. */
static bool check_kind(mf_diagnostics *d, const mf_pool *pool, const yaml *map)
{
    bool slurm = pool->submit == MF_SUBMIT_SLURM, good = true;
    for (size_t i = 0; i < COUNT(keys); i++) {
        yaml *key;
        if (keys[i].of & (slurm ? SLURM : COMMAND) || !mf_yaml_get(map, keys[i].name, &key))
            continue;
        mf_place place = mf_yaml_place(key);
        mf_diagnostics_error(d, &place, "'%s' goes with 'submit: %s'", keys[i].name,
                             slurm ? "command" : "slurm");
        good = false;
    }
    return good;
}

/* With `mpi` an allocation has several workers. */
static bool check_tasks(mf_diagnostics *d, const mf_pool *pool)
{
    const int tasks = mf_pool_tasks(pool);
    if (!tasks) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' has 'mpi', and sbatch is not told how many workers start "
                             "together",
                             pool->name);
        mf_diagnostics_note(d, "each task is a worker: 'sbatch: [--ntasks=4]'");
        return false;
    }
    if (tasks > pool->max) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' has at most %d workers ('max'), and each allocation has %d",
                             pool->name, pool->max, tasks);
        return false;
    }
    return true;
}

static bool read_pool(mf_site *s, mf_diagnostics *d, mf_pool *pool, const yaml *key,
                      const yaml *map)
{
    bool good = true;
    *pool = (mf_pool){.name = key->text,
                      .time = INFINITY,
                      .max = 4,
                      .backlog = 2,
                      .idle = 300,
                      .devices = -1,
                      .signal = 120,
                      .place = mf_yaml_place(key)};
    if (!mf__is_name(key->text)) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' is not a valid name of a pool: letters, digits, _ and -",
                             key->text);
        return false;
    }
    if (strlen(key->text) > 40) {
        mf_diagnostics_error(d, &pool->place, "the name of a pool has at most 40 letters");
        return false;
    }
    if (map->kind != YAML_MAP) {
        mf_place place = mf_yaml_place(map);
        mf_diagnostics_error(d, &place, "a pool has keys: 'submit: slurm' and what sbatch takes");
        return false;
    }
    for (size_t i = 0; i < map->count; i++)
        good &= read_key(s->arena, d, pool, map->items[2 * i], map->items[2 * i + 1]);
    if (!mf_yaml_get(map, "submit", NULL)) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' does not say how workers are got: 'submit: slurm' or "
                             "'submit: command'",
                             key->text);
        return false;
    }
    good &= check_kind(d, pool, map);
    if (good && pool->submit == MF_SUBMIT_COMMAND && !pool->command) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' has no command: 'command: ssh HOST massflow worker --connect "
                             "{connect} --token {token} --pool {pool}'",
                             key->text);
        return false;
    }
    if (good && pool->submit == MF_SUBMIT_SLURM && !pool->time_text) {
        mf_diagnostics_error(d, &pool->place, "'%s' has no time limit: 'time: 12:00:00'",
                             key->text);
        mf_diagnostics_note(d, "nodes that take longer than an allocation has left are not given "
                               "to it");
        return false;
    }
    if (good && pool->submit == MF_SUBMIT_SLURM && pool->time < pool->signal + EARLY + 1) {
        mf_diagnostics_error(d, &pool->place,
                             "'%s' has %.0f s of time: too little for a signal %d s before its "
                             "end, which may come %d s early",
                             key->text, pool->time, pool->signal, EARLY);
        return false;
    }
    return good && check_tasks(d, pool);
}

static bool read_pools(mf_site *s, mf_diagnostics *d, const yaml *root, const yaml *map)
{
    bool good = true;
    mf_place place = mf_yaml_place(map ? map : root);
    if (!map || map->kind != YAML_MAP || !map->count) {
        mf_diagnostics_error(d, &place, "'pools' takes names of pools, each with its keys");
        return false;
    }
    if (map->count > MOST_POOLS) {
        mf_diagnostics_error(d, &place, "there are at most %d pools", MOST_POOLS);
        return false;
    }
    s->pools = mf_arena_alloc(s->arena, map->count, sizeof *s->pools);
    for (size_t i = 0; i < map->count; i++)
        good &= read_pool(s, d, &s->pools[s->count++], map->items[2 * i], map->items[2 * i + 1]);
    return good;
}

static bool read_spool_size(const reader *r, int64_t *bytes)
{
    static const char takes[] = "a size of at least 1 MB, such as '200 GB'";
    const char *text = NULL;
    size_t size = 0;
    if (!read_text(r, takes, &text))
        return false;
    if (!mf__read_bytes(text, &size) || size < 1000000 || size > INT64_MAX / 2)
        return wrong(r, takes);
    *bytes = (int64_t)size;
    return true;
}

static bool read_root(mf_site *s, mf_diagnostics *d, const yaml *root)
{
    static const char *const known[] = {"listen", "folder", "pools", "spool", "spool_size"};
    bool good = true;
    if (root->kind != YAML_MAP) {
        mf_place place = mf_yaml_place(root);
        mf_diagnostics_error(
            d, &place, "a file of pools has the keys listen, folder, pools, spool, spool_size");
        return false;
    }
    for (size_t i = 0; i < root->count; i++) {
        const yaml *key = root->items[2 * i];
        reader r = {s->arena, d, root->items[2 * i + 1], key->text, NULL};
        if (!strcmp(key->text, "listen"))
            good &=
                read_text(&r, "an address that workers connect to: HOST or HOST:PORT", &s->listen);
        else if (!strcmp(key->text, "folder"))
            good &= read_text(&r, "a folder that the nodes see", &s->folder);
        else if (!strcmp(key->text, "spool"))
            good &= read_text(&r, "a folder that the nodes see", &s->spool);
        else if (!strcmp(key->text, "spool_size"))
            good &= read_spool_size(&r, &s->spool_bytes);
        else if (strcmp(key->text, "pools"))
            good &= unknown(d, key, "a file of pools has no key", known, COUNT(known));
    }
    return good & read_pools(s, d, root, mf_yaml_get(root, "pools", NULL));
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Where it lies when nobody says where. */
static const char *usual_path(mf_arena *arena, const char **user)
{
    static const char site_wide[] = "/etc/massflow/pools.yaml";
    const char *named = getenv("MASSFLOW_POOLS"), *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    *user = NULL;
    if (named && *named)
        return mf_arena_copy(arena, named);
    if (config && *config == '/')
        *user = mf_arena_print(arena, "%s/massflow/pools.yaml", config);
    else
        *user = mf_arena_print(arena, "%s/.config/massflow/pools.yaml", home ? home : "");
    if (access(*user, F_OK) && !access(site_wide, F_OK))
        return site_wide;
    return *user;
}

/* "~/x" as a path. */
static const char *at_home(mf_arena *arena, const char *path)
{
    const char *home = getenv("HOME");
    if (!path || strncmp(path, "~/", 2) || !home)
        return path;
    return mf_arena_print(arena, "%s%s", home, path + 1);
}

mf_status mf_site_read(const char *path, mf_diagnostics *d, mf_site **site)
{
    mf_arena *arena = mf_arena_new();
    mf_site *s = mf_arena_alloc(arena, 1, sizeof *s);
    const char *user = NULL;
    yaml_source *source;
    *site = NULL;
    *s = (mf_site){.arena = arena, .spool_bytes = SPOOL_BYTES};
    s->path = path ? mf_arena_copy(arena, path) : usual_path(arena, &user);
    mf_status status = mf__source_read(arena, s->path, LARGEST_SITE, &source);
    if (status && mf_error_code(status) == MF_NOT_FOUND && user) {
        mf_error_free(status);
        status = mf_hint(mf_fail(MF_NOT_FOUND, "there are no pools yet: no file %s", user),
                         "docs/clusters.md shows one; --pools FILE names another file");
    }
    if (status) {
        mf_arena_free(arena);
        return status;
    }
    yaml *root = mf_yaml_read(arena, source, d);
    if (!root || !read_root(s, d, root)) {
        mf_arena_free(arena);
        return MF_OK;
    }
    s->folder = at_home(arena, s->folder);
    s->spool = at_home(arena, s->spool);
    *site = s;
    return MF_OK;
}

void mf_site_free(mf_site *site)
{
    if (site)
        mf_arena_free(site->arena);
}

const char *mf_site_path(const mf_site *site)
{
    return site->path;
}

const char *mf_site_listen(const mf_site *site)
{
    return site->listen;
}

const char *mf_site_folder(const mf_site *site)
{
    return site->folder;
}

const char *mf_site_spool(const mf_site *site, int64_t *bytes)
{
    *bytes = site->spool_bytes;
    return site->spool;
}

size_t mf_site_count(const mf_site *site)
{
    return site->count;
}

const mf_pool *mf_site_pool(const mf_site *site, size_t i)
{
    return &site->pools[i];
}

mf_status mf_site_find(const mf_site *site, const char *name, const mf_pool **pool)
{
    const char *known[MOST_POOLS];
    mf_text list = {0};
    *pool = NULL;
    for (size_t i = 0; i < site->count; i++) {
        known[i] = site->pools[i].name;
        mf_text_add(&list, "%s%s", i ? ", " : "", known[i]);
        if (!strcmp(known[i], name))
            *pool = &site->pools[i];
    }
    const char *near = mf_nearest(name, known, site->count);
    mf_status status = MF_OK;
    if (!*pool && near)
        status = mf_fail(MF_NOT_FOUND, "%s has no pool '%s'; did you mean '%s'?", site->path, name,
                         near);
    else if (!*pool)
        status = mf_hint(mf_fail(MF_NOT_FOUND, "%s has no pool '%s'", site->path, name),
                         "it has %s", list.data);
    free(list.data);
    return status;
}

mf_status mf_site_choose(const mf_site *site, const char *chosen, const mf_pool ***pools,
                         size_t *count)
{
    mf_arena *arena = mf_arena_new();
    mf_status status = MF_OK;
    *count = 0;
    *pools = calloc(site->count, sizeof **pools);
    if (!*pools)
        status = mf_no_memory(site->count * sizeof **pools, "pools");
    for (const char *c = chosen; c && !status;) {
        size_t length = strcspn(c, ",");
        const char *name = mf_arena_copy_n(arena, c, length);
        const mf_pool *pool;
        status = mf_site_find(site, name, &pool);
        for (size_t i = 0; i < *count && !status; i++)
            if ((*pools)[i] == pool)
                status = mf_fail(MF_INVALID, "--pool: '%s' is there twice", name);
        if (!status)
            (*pools)[(*count)++] = pool;
        c = c[length] ? c + length + 1 : NULL;
    }
    mf_arena_free(arena);
    if (status) {
        free(*pools);
        *pools = NULL;
    }
    return status;
}
