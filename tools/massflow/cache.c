/* cache.c - the command cache: what is in the store, and care of it. */
#include "args.h"
#include "cache_uses.h"
#include "origin.h"
#include "past.h"
#include "run/artifact/check.h"
#include "run/output/partial.h"
#include "store/trust.h"
#include "store/upkeep.h"
#include "workspace.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- stat, ls -------------------------------------------------------------------------------- */

/* "import 1: all.mfx, 2026-11-29 20:00:00 by ann: 9 actions" */
static mf_status print_imports(mf_store *store)
{
    mf_import *imports;
    size_t count;
    char when[32];

    MF_TRY(mf_store_list_imports(store, &imports, &count));
    for (size_t i = 0; i < count; i++) {
        printf("  import %" PRId64 ": %s", imports[i].num, origin_file(&imports[i]));
        if (imports[i].imported) {
            words_time(imports[i].imported, when);
            printf(", %s%s%s", when, *imports[i].user ? " by " : "", imports[i].user);
        }
        printf(": %" PRId64 " action%s\n", imports[i].actions, imports[i].actions == 1 ? "" : "s");
    }
    mf_import_list_free(imports, count);
    return MF_OK;
}

static mf_status print_stat(mf_store *store)
{
    mf_store_stat s;
    char bytes[32], stored[32], disk[32];

    MF_TRY(mf_store_get_stat(store, &s));
    words_bytes((double)s.bytes, bytes);
    words_bytes((double)s.stored, stored);
    words_bytes((double)s.file_bytes, disk);
    printf("%s\n", mf_store_dir(store));
    printf("  artifacts  %" PRId64 " (%" PRId64 " more known by id alone)\n", s.artifacts,
           s.dropped);
    printf("  actions    %" PRId64, s.actions);
    if (s.imported)
        printf(" (%" PRId64 " imported)", s.imported);
    printf("\n  runs       %" PRId64 "\n  files      %" PRId64 "\n", s.runs, s.files);
    printf("  data       %s, stored as %s; %s on disk\n", bytes, stored, disk);
    for (size_t i = 0; i < s.type_count; i++) {
        words_bytes((double)s.types[i].bytes, bytes);
        words_bytes((double)s.types[i].stored, stored);
        printf("  %-10s %6" PRId64 "  %8s, stored as %s\n", s.types[i].type, s.types[i].count,
               bytes, stored);
    }
    mf_store_stat_clear(&s);
    return print_imports(store);
}

static mf_status print_list(mf_store *store, const char *type)
{
    mf_artifact_entry *entries;
    size_t count;
    char bytes[32], when[32];

    MF_TRY(mf_store_list_artifacts(store, type, NULL, 0, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        time_t created = (time_t)entries[i].created;
        struct tm local;
        localtime_r(&created, &local);
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
        words_bytes((double)entries[i].bytes, bytes);
        printf("%.12s  %-10s %8s  %s%s\n", entries[i].id, entries[i].type, bytes, when,
               entries[i].present ? "" : "  (data deleted)");
    }
    free(entries);
    return MF_OK;
}

static int show_stat(const args *a)
{
    workspace w;
    mf_status status;
    int code = workspace_open_cache(a, &w);

    if (code)
        return code;
    status = print_stat(w.store);
    workspace_close(&w);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

static int show_list(const args *a)
{
    workspace w;
    mf_status status;
    int code;

    if (args_has(a, "by") || args_has(a, "graph") || args_has(a, "stage") || args_has(a, "case"))
        return cache_list_uses(a);
    code = workspace_open_cache(a, &w);

    if (code)
        return code;
    status = print_list(w.store, args_count(a) > 1 ? args_at(a, 1) : NULL);
    workspace_close(&w);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* ---- verify, repair -------------------------------------------------------------------------- */

static const char *folder(const args *a)
{
    return args_value(a, "cache") ? args_value(a, "cache") : ".massflow";
}

static void print_damage(void *self, const mf_damage *damage)
{
    (void)self;
    printf("%s: %s\n  %s\n", damage->conflict ? "differs" : "damaged", damage->what, damage->means);
}

static void print_checked(const mf_verified *v)
{
    char bytes[32];

    words_bytes((double)v->chunk_bytes, bytes);
    printf("checked %" PRId64 " chunks (%s), %" PRId64 " artifacts, %" PRId64 " actions, %" PRId64
           " digests of files\n",
           v->chunks, bytes, v->artifacts, v->actions, v->files);
    words_bytes((double)v->unnamed_bytes, bytes);
    if (v->unnamed)
        printf("%" PRId64 " chunks (%s) are unused: 'massflow cache gc' deletes them\n", v->unnamed,
               bytes);
}

static int verify(const args *a)
{
    mf_verified v;
    mf_status status = mf_store_verify(folder(a), print_damage, NULL, &v);

    if (status)
        return command_fail(status, EXIT_REQUEST);
    print_checked(&v);
    if (v.conflicts)
        printf("%" PRId64 " imported result%s from the local one\n", v.conflicts,
               v.conflicts == 1 ? " differs" : "s differ");
    if (!v.damages) {
        printf("no damage found\n");
        return EXIT_DONE;
    }
    printf("%" PRId64 " damaged items; repair them with: massflow cache repair%s%s\n", v.damages,
           args_value(a, "cache") ? " --cache " : "",
           args_value(a, "cache") ? args_value(a, "cache") : "");
    return EXIT_FAILED;
}

static void print_mended(int64_t count, const char *what)
{
    if (count)
        printf("%" PRId64 " %s\n", count, what);
}

static int repair(const args *a)
{
    mf_repaired r;
    mf_status status = mf_store_repair(folder(a), print_damage, NULL, &r);

    for (int i = 0; i < 2; i++) {
        if (r.aside[i])
            printf("the damaged file was replaced; it is kept as %s\n"
                   "  delete it when you do not need it any more\n",
                   r.aside[i]);
    }
    if (!status && !r.found.damages)
        printf("no damage found; nothing was changed\n");
    print_mended(r.chunks_dropped, "chunks deleted");
    print_mended(r.artifacts_missing, "artifacts marked as missing: computed again when needed");
    print_mended(r.artifacts_dropped, "artifacts deleted");
    print_mended(r.actions_dropped, "actions deleted: run again when needed");
    print_mended(r.others_dropped, "other rows deleted");
    mf_repaired_clear(&r);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* ---- gc -------------------------------------------------------------------------------------- */

/* "20G" as bytes, "30d" as seconds: a number and one of the letters, each with its factor. */
static bool read_amount(const char *text, const char *letters, const double *factors,
                        int64_t *value)
{
    char *end;
    double number = strtod(text, &end);
    const char *letter = *end ? strchr(letters, *end) : NULL;

    if (end == text || !(number >= 0) || (*end && (!letter || end[1])))
        return false;
    number *= letter ? factors[letter - letters] : 1;
    if (number >= 9e18)
        return false;
    *value = (int64_t)number;
    return true;
}

static bool read_limits(const args *a, mf_gc_options *o)
{
    static const double bytes[] = {1e3, 1e6, 1e9, 1e12}, seconds[] = {1, 60, 3600, 86400, 604800};
    const char *size = args_value(a, "size"), *age = args_value(a, "age");

    *o = (mf_gc_options){-1, -1, args_has(a, "dry-run")};
    if (size && !read_amount(size, "kMGT", bytes, &o->size))
        return false;
    return !age || (read_amount(age, "smhdw", seconds, &o->age) && strpbrk(age, "smhdw"));
}

typedef struct gc_shown {
    size_t count;
    bool all;
} gc_shown;

static void print_going(void *self, const mf_gc_item *item)
{
    gc_shown *shown = self;
    char bytes[32], took[32], when[32];
    time_t used = (time_t)item->used;
    struct tm local;

    if (!shown->all && shown->count++ >= 20)
        return;
    localtime_r(&used, &local);
    strftime(when, sizeof when, "%Y-%m-%d", &local);
    words_bytes((double)item->bytes, bytes);
    words_seconds(item->seconds, took);
    printf("%.12s  %-10s %8s  used %s  made in %-10s %s: %s\n", item->id, item->type, bytes, when,
           took, item->stage, item->why);
}

static int drop(const args *a)
{
    if (args_count(a) < 3)
        return command_refuse("name a graph and what to drop of it: massflow cache drop GRAPH "
                              "NODE...");
    args graph = args_after(a, 1); /* GRAPH NODE..., as other commands have them */
    return cache_drop(&graph);
}

static void print_collected(const mf_gc_result *r, bool dry)
{
    char bytes[32], unnamed[32], kept[32], freed[32];

    words_bytes((double)r->bytes, bytes);
    words_bytes((double)r->unnamed_bytes, unnamed);
    words_bytes((double)r->kept_bytes, kept);
    words_bytes((double)(r->file_bytes_before - r->file_bytes), freed);
    printf("%s the data of %" PRId64 " artifacts (%s) and %" PRId64 " unused chunks (%s)\n",
           dry ? "would delete" : "dropped", r->artifacts, bytes, r->unnamed, unnamed);
    printf("%" PRId64 " artifacts are kept (%s)", r->kept, kept);
    if (r->runs)
        printf("; %" PRId64 " of them are in use by %" PRId64 " active runs", r->in_use, r->runs);
    printf("\n");
    if (!dry)
        printf("%s freed on disk\n", freed);
}

static int collect(const args *a)
{
    mf_gc_options options;
    mf_gc_result result;
    mf_status status;
    bool dry = args_has(a, "dry-run");
    gc_shown shown = {0, dry};

    if (!read_limits(a, &options))
        return command_refuse("--size is a number with k, M, G or T (bytes), --age one with s, m, "
                              "h, d or w: cache gc --size 20G --age 30d");
    status = mf_store_gc(folder(a), &options, print_going, &shown, &result);
    if (status)
        return command_fail(status, EXIT_FAILED);
    if (!dry && shown.count > 20)
        printf("... and %zu more\n", shown.count - 20);
    print_collected(&result, dry);
    if (options.size >= 0 && result.kept_bytes > options.size)
        printf("more than --size is kept: the rest is in use, or a checkpoint that a stage may "
               "resume from\n");
    return EXIT_DONE;
}

/* ---- export, import -------------------------------------------------------------------------- */

/* The keys of the nodes that are cached, of a graph and targets. */
static int graph_keys(const args *a, workspace *w, char (**keys)[MF_HEX_SIZE], size_t *count)
{
    mf_plan *plan = NULL;
    size_t wanted = 0;
    int code = workspace_plan(a, w, args_all(a) + 1, args_count(a) - 1, &plan);

    if (code)
        return code;
    *keys = calloc(mf_plan_count(plan) + 1, sizeof **keys);
    for (size_t i = 0; *keys && i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        if (n->state == MF_PLAN_UNWANTED || n->work.stage->item)
            continue;
        wanted++;
        if (n->state == MF_PLAN_CACHED)
            memcpy((*keys)[(*count)++], n->key, MF_HEX_SIZE);
    }
    mf_plan_free(plan);
    if (!*keys)
        return command_fail(mf_no_memory(0, "exporting"), EXIT_FAILED);
    if (*count < wanted)
        printf("%zu of %zu nodes are not in the cache: left out\n", wanted - *count, wanted);
    return EXIT_DONE;
}

static mf_status export_to(const char *file, workspace *w, const mf_output_rule *rule,
                           const char (*keys)[MF_HEX_SIZE], size_t count, mf_moved *m)
{
    mf_output *output;
    mf_status status;

    mf_partials_sweep(file);
    MF_TRY(mf_output_begin(file, rule, NULL, &output));
    status = mf_within(mf_store_export(w->store, mf_output_file(output), keys, count, m),
                       "while exporting to '%s'", file);
    if (!status)
        return mf_output_end(output, NULL);
    mf_output_drop(output);
    return status;
}

static int write_export(const args *a, const char *file, workspace *w,
                        const char (*keys)[MF_HEX_SIZE], size_t count)
{
    mf_moved m;
    char bytes[32];
    mf_output_rule rule;
    mf_status status;
    int code = workspace_rule(a, w, false, &rule);

    if (code)
        return code;
    status = export_to(file, w, &rule, keys, count, &m);
    if (status)
        return command_fail(status, EXIT_FAILED);
    words_bytes((double)m.bytes, bytes);
    printf("%s: %" PRId64 " actions, %" PRId64 " artifacts, %" PRId64 " chunks (%s)\n", file,
           m.actions, m.artifacts, m.chunks, bytes);
    return EXIT_DONE;
}

static int export(const args *a)
{
    args graph; /* GRAPH TARGET..., as other commands have them */
    char(*keys)[MF_HEX_SIZE] = NULL;
    size_t count = 0;
    workspace w;
    int code;

    if (args_count(a) < 2)
        return command_refuse("no file is given: massflow cache export FILE");
    graph = args_after(a, 2);
    code = graph.operand_count ? workspace_open(&graph, MF_STORE_READ, &w)
                               : workspace_open_cache(a, &w);
    if (code)
        return code;
    if (!w.store)
        code = command_refuse("there is no cache to export from; make it with: massflow run %s",
                              args_at(a, 2));
    else if (graph.operand_count)
        code = graph_keys(&graph, &w, &keys, &count);
    if (!code)
        code = write_export(a, args_at(a, 1), &w, (const char(*)[MF_HEX_SIZE])keys, count);
    free(keys);
    workspace_close(&w);
    return code;
}

typedef struct importing {
    mf_registry *registry;
    size_t differ, refused; /* told of */
} importing;

static void print_conflict(void *self, const mf_conflict *c)
{
    importing *i = self;

    if (i->differ++ >= 20)
        return;
    printf("differs: %s%s%s (action %.12s): ", c->stage, c->node ? ", here " : "",
           c->node ? c->node : "", c->key);
    if (c->port)
        printf("%s is %.12s in the file, %.12s here", c->port, c->there,
               *c->here ? c->here : "not there");
    else
        printf("it has fewer outputs in the file");
    if (strcmp(c->here_device, c->there_device))
        printf("; made on %s, here on %s", *c->there_device ? c->there_device : "no device",
               *c->here_device ? c->here_device : "no device");
    printf("%s\n", c->imported ? "; the one here was imported before" : "");
}

static mf_status check_artifact(void *self, const mf_artifact *artifact, bool whole)
{
    const importing *i = self;

    if (!mf_registry_type(i->registry, mf_artifact_type(artifact)))
        return MF_OK; /* what no plugin declares no stage reads */
    return whole ? mf_check_artifact(i->registry, artifact)
                 : mf_check_record(i->registry, artifact);
}

static mf_status check_action(void *self, const mf_action *action, const char *const *types)
{
    const importing *i = self;

    return mf_check_action(i->registry, action, types);
}

static void print_refused(void *self, const mf_refused *r)
{
    importing *i = self;

    if (i->refused++ >= 20)
        return;
    printf("refused: %s (action %.12s): ", r->stage, r->key);
    if (r->port)
        printf("%s, ", r->port);
    printf("%s\n", r->why);
}

static mf_status read_import(const args *a, importing *i, mf_moved *m)
{
    const mf_import_calls calls = {i, check_artifact, check_action, print_conflict, print_refused};
    mf_store *store;

    MF_TRY(mf_store_open(folder(a), MF_STORE_WRITE, &store));
    mf_status status = mf_store_import(store, args_at(a, 1), &calls, m);
    mf_store_close(store);
    return status;
}

static int import(const args *a)
{
    mf_moved m = {0};
    importing i = {0};
    char bytes[32];
    mf_status status;

    if (args_count(a) < 2)
        return command_refuse("no file is given: massflow cache import FILE");
    int code = open_registry(a, &i.registry);
    if (code)
        return code;
    status = read_import(a, &i, &m);
    mf_registry_free(i.registry);
    if (status)
        return command_fail(status, EXIT_FAILED);
    if (m.refused > 20)
        printf("... and %" PRId64 " more\n", m.refused - 20);
    words_bytes((double)m.bytes, bytes);
    printf("%s: %" PRId64 " actions (%" PRId64 " new), %" PRId64 " artifacts, %" PRId64
           " chunks (%s new)\n",
           args_at(a, 1), m.actions, m.new_actions, m.artifacts, m.chunks, bytes);
    if (m.conflicts)
        printf("%" PRId64
               " of them %s from what is here for the same key; the local results stay in use\n",
               m.conflicts, m.conflicts == 1 ? "differs" : "differ");
    if (m.refused)
        return command_fail(
            mf_hint(mf_fail(MF_CORRUPT,
                            "%" PRId64 " action%s of '%s' %s refused: massflow did not "
                            "make what it holds",
                            m.refused, m.refused == 1 ? "" : "s", args_at(a, 1),
                            m.refused == 1 ? "was" : "were"),
                    "none of them was imported; a run computes them here"),
            EXIT_FAILED);
    return EXIT_DONE;
}

/* ---- trust ----------------------------------------------------------------------------------- */

static mf_status list_trusted(void)
{
    mf_trusted *list;
    size_t count;

    MF_TRY(mf_trust_list(&list, &count));
    for (size_t i = 0; i < count; i++) {
        char *who = mf_owner_text(list[i].owner);
        struct stat s;

        printf("%s  of %s", list[i].path, who ? who : "?");
        if (stat(list[i].path, &s) != 0)
            printf("; it is not there now");
        else if (s.st_uid != list[i].owner)
            printf("; it has another owner now, and is not used");
        printf("\n");
        free(who);
    }
    mf_trusted_free(list, count);
    return MF_OK;
}

static int forget(const args *a)
{
    bool was;
    mf_status status = mf_trust_forget(args_at(a, 1), &was);

    if (status)
        return command_fail(status, EXIT_FAILED);
    if (!was)
        return command_refuse("'%s' is not among the trusted caches: massflow cache trust --list",
                              args_at(a, 1));
    printf("no longer trusted: %s\n", args_at(a, 1));
    return EXIT_DONE;
}

/* Whether that is the folder of a graph, with the cache in it. */
static bool holds_cache(const char *dir)
{
    char *own = NULL, *inner = NULL;
    bool holds = false;

    if (asprintf(&own, "%s/cache.db", dir) >= 0 && asprintf(&inner, "%s/.massflow", dir) >= 0)
        holds = access(own, F_OK) != 0 && access(inner, F_OK) == 0;
    free(own);
    free(inner);
    return holds;
}

static int add_trusted(const char *dir)
{
    mf_trusted entry;
    mf_status status;
    char *who;

    if (holds_cache(dir))
        return command_refuse(
            "'%s' is not a cache, but has one in it: massflow cache trust %s/.massflow", dir, dir);
    status = mf_trust_add(dir, &entry);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    who = mf_owner_text(entry.owner);
    printf("trusted: %s of %s\n"
           "  results that others write there are used like your own, until\n"
           "  massflow cache trust --forget ",
           entry.path, who ? who : "?");
    args_quote_path(stdout, entry.path);
    printf("\n");
    free(who);
    free(entry.path);
    return EXIT_DONE;
}

static int trust(const args *a)
{
    if (args_has(a, "list")) {
        mf_status status = list_trusted();
        return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
    }
    if (args_count(a) < 2)
        return command_refuse("no folder is given: massflow cache trust DIR");
    return args_has(a, "forget") ? forget(a) : add_trusted(args_at(a, 1));
}

/* ---- all ------------------------------------------------------------------------------------- */

typedef struct verb {
    const char *name;
    size_t most; /* operands after the name */
    int (*run)(const args *a);
} verb;

static const verb verbs[] = {
    {"stat", 0, show_stat},    {"ls", 1, show_list},  {"verify", 0, verify},
    {"repair", 0, repair},     {"gc", 0, collect},    {"drop", 10000, drop},
    {"export", 10000, export}, {"import", 1, import}, {"trust", 1, trust},
};
static const size_t verb_count = sizeof verbs / sizeof *verbs;

const char *cache_verb(size_t i)
{
    return i < verb_count ? verbs[i].name : NULL;
}

static int refuse_verb(const char *what)
{
    const char *names[sizeof verbs / sizeof *verbs], *near;

    for (size_t i = 0; i < verb_count; i++)
        names[i] = verbs[i].name;
    near = mf_nearest(what, names, verb_count);
    if (near)
        return command_refuse("unknown command 'cache %s'; did you mean 'cache %s'?", what, near);
    return command_refuse("unknown command 'cache %s'; 'massflow help cache' lists them", what);
}

static int cache(const args *a)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].name, args_at(a, 0)))
            continue;
        if (args_count(a) > 1 + verbs[i].most)
            return command_refuse("'cache %s' takes no '%s'", verbs[i].name,
                                  args_at(a, 1 + verbs[i].most));
        return verbs[i].run(a);
    }
    return refuse_verb(args_at(a, 0));
}

static const option cache_options[] = {
    OPTION_CACHE,
    {0, "size", "N", "gc: maximum size of the data to keep, such as 20G"},
    {0, "age", "TIME", "gc: keep data that was used within this time, such as 30d"},
    {0, "by", "graph|stage|case", "ls: sums by graph, stage or case"},
    {0, "graph", "GRAPH", "ls: only of this graph"},
    {0, "stage", "NAME", "ls: only of this stage"},
    {0, "all", NULL, "drop: also what the nodes came to with earlier parameters, files or code"},
    {'n', "dry-run", NULL, "gc, drop: only show what would be deleted"},
    {0, "force", NULL,
     "export: also replace a file that massflow did not write; inputs are never replaced"},
    {0, "list", NULL, "trust: list the trusted caches"},
    {0, "forget", NULL, "trust: remove this cache from the list"},
    OPTION_SET,
    OPTION_CASE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_cache = {
    "cache",
    "VERB [FILE] [GRAPH [TARGET...]]",
    "inspect and maintain the cache",
    "  stat      show number and size of artifacts\n"
    "  ls        [TYPE]: list the artifacts; --by stage: how much each stage keeps\n"
    "  verify    read every byte and report damage; exit status 1 if there is any\n"
    "  repair    remove damaged data; the next run computes it again\n"
    "  gc        delete data that was not used for a long time, or was cheap to compute for its\n"
    "            size; without --size and --age only data that nothing refers to\n"
    "  drop      GRAPH NODE...: delete the data of these results; what another result shares, or\n"
    "            a run that goes on uses, is kept\n"
    "  export    FILE [GRAPH [TARGET...]]: write results with all that is needed to find them in\n"
    "            another cache to one file; without GRAPH the whole cache\n"
    "  import    FILE: add the results of such a file to the cache\n"
    "  trust     DIR: allow the use of a cache that another user owns; --list, --forget DIR",
    cache_options,
    1,
    -1,
    cache};
