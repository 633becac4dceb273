/* cache_uses.c - see cache_uses.h. */
#include "cache_uses.h"
#include "past.h"
#include "store/upkeep.h"
#include "store/uses.h"
#include "workspace.h"

#include <massflow/memory.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which are meant ------------------------------------------------------------------------- */

/* The stage's name in the graph: "seg" of "seg[case=012,seed=1]". */
static size_t label_length(const char *node)
{
    return strcspn(node, "[");
}

/* "012" of "seg[case=012,seed=1]"; 0 without a case. */
static size_t find_case(const char *node, const char **id)
{
    const char *at = strchr(node, '[');

    while (at && strncmp(at + 1, "case=", 5))
        at = strchr(at + 1, ',');
    *id = at ? at + 6 : "";
    return strcspn(*id, ",]");
}

static bool is_text(const char *text, const char *from, size_t length)
{
    return strlen(text) == length && !strncmp(text, from, length);
}

typedef struct row {
    char *name; /* of the group, or of the node */
    char id[MF_HEX_SIZE];
    int64_t bytes, stored;
} row;

typedef struct listing {
    const args *a;
    const char *by, *stage, *type;
    row *rows;
    size_t count;
} listing;

static bool is_meant(const listing *l, const mf_use *use)
{
    const char *id;
    const size_t length = find_case(use->node, &id), cases = args_value_count(l->a, "case");
    bool of_case = !cases;

    for (size_t i = 0; i < cases; i++)
        of_case |= is_text(args_value_at(l->a, "case", i), id, length);
    return of_case && (!l->type || !strcmp(l->type, use->type)) &&
           (!l->stage || is_text(l->stage, use->node, label_length(use->node)));
}

/* ---- ls: sums -------------------------------------------------------------------------------- */

static char *group_name(const listing *l, const mf_use *use)
{
    const char *id;
    size_t length;

    if (!*use->graph)
        return strdup("(of no run here)");
    if (!strcmp(l->by, "graph"))
        return strdup(use->graph);
    if (!strcmp(l->by, "stage"))
        return strndup(use->node, label_length(use->node));
    length = find_case(use->node, &id);
    return length ? strndup(id, length) : strdup("(of no case)");
}

static mf_status take_row(void *self, const mf_use *use)
{
    listing *l = self;
    row *grown;

    if (!use->present || !is_meant(l, use))
        return MF_OK;
    grown = mf_list_more(l->rows, l->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a list");
    l->rows = grown;
    row *r = &l->rows[l->count];
    *r = (row){.name = group_name(l, use), .bytes = use->bytes, .stored = use->stored};
    memcpy(r->id, use->id, sizeof r->id);
    if (!r->name)
        return mf_no_memory(0, "a list");
    l->count++;
    return MF_OK;
}

static int by_name(const void *a, const void *b)
{
    const row *x = a, *y = b;
    const int names = strcmp(x->name, y->name);

    return names ? names : strcmp(x->id, y->id);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const row *)a)->id, ((const row *)b)->id);
}

static void print_sum(const char *name, int width, size_t count, int64_t bytes, int64_t stored)
{
    char size[32], kept[32];

    words_bytes((double)bytes, size);
    words_bytes((double)stored, kept);
    printf("%-*s %9zu  %8s  %8s\n", width, name, count, size, kept);
}

/* Of rows i to end, each artifact once; rows of one artifact are beside each other. */
static size_t sum(const listing *l, size_t i, size_t end, int64_t *bytes, int64_t *stored)
{
    size_t count = 0;

    *bytes = *stored = 0;
    for (; i < end; i++) {
        if (i + 1 < end && !strcmp(l->rows[i].id, l->rows[i + 1].id))
            continue;
        count++;
        *bytes += l->rows[i].bytes;
        *stored += l->rows[i].stored;
    }
    return count;
}

static void print_groups(listing *l)
{
    size_t width = strlen(l->by), end, parts = 0, all;
    int64_t bytes, stored;

    for (size_t i = 0; i < l->count; i++)
        width = strlen(l->rows[i].name) > width ? strlen(l->rows[i].name) : width;
    printf("%-*s %9s  %8s  %8s\n", (int)width, l->by, "artifacts", "size", "stored");
    if (l->count)
        qsort(l->rows, l->count, sizeof *l->rows, by_name);
    for (size_t i = 0; i < l->count; i = end) {
        for (end = i; end < l->count && !strcmp(l->rows[end].name, l->rows[i].name); end++)
            ;
        const size_t count = sum(l, i, end, &bytes, &stored);
        print_sum(l->rows[i].name, (int)width, count, bytes, stored);
        parts += count;
    }
    if (l->count)
        qsort(l->rows, l->count, sizeof *l->rows, by_id);
    all = sum(l, 0, l->count, &bytes, &stored);
    print_sum("total", (int)width, all, bytes, stored);
    if (parts > all)
        printf("%zu of them stand in several rows: their results are the same\n", parts - all);
}

/* ---- ls: one by one -------------------------------------------------------------------------- */

static mf_status print_use(void *self, const mf_use *use)
{
    const listing *l = self;
    char size[32], when[32];

    if (!is_meant(l, use))
        return MF_OK;
    words_bytes((double)use->bytes, size);
    words_time(use->created, when);
    printf("%.12s  %-10s %8s  %s  %s.%s%s\n", use->id, use->type, size, when,
           *use->node ? use->node : use->stage, use->port, use->present ? "" : "  (data deleted)");
    return MF_OK;
}

static int list(listing *l, mf_store *store, const char *graph)
{
    mf_status status = mf_store_list_uses(store, graph, l->by ? take_row : print_use, l);

    if (!status && l->by)
        print_groups(l);
    for (size_t i = 0; i < l->count; i++)
        free(l->rows[i].name);
    free(l->rows);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

int cache_list_uses(const args *a)
{
    const char *by = args_value(a, "by"), *file = args_value(a, "graph");
    listing l = {.a = a,
                 .by = by,
                 .stage = args_value(a, "stage"),
                 .type = args_count(a) > 1 ? args_at(a, 1) : NULL};
    char *graph = file ? realpath(file, NULL) : NULL;
    workspace w;
    int code;

    if (by && strcmp(by, "graph") && strcmp(by, "stage") && strcmp(by, "case"))
        code = command_refuse("--by is 'graph', 'stage' or 'case', not '%s'", by);
    else if (file && !graph)
        code = command_refuse("'%s' can't be read", file);
    else
        code = workspace_open_cache(a, &w);
    if (!code) {
        code = list(&l, w.store, graph);
        workspace_close(&w);
    }
    free(graph);
    return code;
}

/* ---- drop ------------------------------------------------------------------------------------ */

typedef struct dropping {
    const args *a;
    workspace *w;
    char (*keys)[MF_HEX_SIZE];
    size_t count;
    size_t undecided; /* nodes whose key is not known; the first: */
    const char *first;
    bool dry;
    listing names; /* who has which artifact */
    size_t gone, stays;
} dropping;

static mf_status add_key(dropping *d, const char *key)
{
    char(*grown)[MF_HEX_SIZE] = mf_list_more(d->keys, d->count, sizeof *grown);

    if (!grown)
        return mf_no_memory(0, "a list of results");
    d->keys = grown;
    memcpy(d->keys[d->count++], key, MF_HEX_SIZE);
    return MF_OK;
}

/* What the node came to with earlier parameters, files or code. */
static mf_status add_earlier(dropping *d, const char *node)
{
    mf_action **actions;
    size_t count;
    mf_status status = MF_OK;

    MF_TRY(mf_store_node_actions(d->w->store, d->w->graph_path, node, 10000, &actions, &count));
    for (size_t i = 0; i < count && !status; i++)
        status = add_key(d, actions[i]->key);
    mf_action_list_free(actions, count);
    return status;
}

static mf_status add_node(dropping *d, const mf_plan_node *n)
{
    if (args_has(d->a, "all"))
        MF_TRY(add_earlier(d, n->node->name));
    if (n->state == MF_PLAN_CACHED)
        return add_key(d, n->key);
    if (n->state == MF_PLAN_WAITING)
        d->first = d->undecided++ ? d->first : n->node->name;
    return MF_OK;
}

static int add_targets(dropping *d)
{
    mf_plan *plan = NULL;
    mf_status status = MF_OK;
    int code = workspace_plan(d->a, d->w, args_all(d->a) + 1, args_count(d->a) - 1, &plan);

    for (size_t i = 1; !code && !status && i < args_count(d->a); i++) {
        mf_target target;
        status = mf_graph_target(d->w->graph, args_at(d->a, i), &target);
        if (!status && target.port >= 0)
            status = mf_fail(MF_INVALID, "'%s' names an output; a node is dropped with all of them",
                             args_at(d->a, i));
        for (size_t k = 0; !status && k < mf_plan_count(plan); k++)
            if (mf_target_has(d->w->graph, &target, k))
                status = add_node(d, mf_plan_at(plan, k));
    }
    mf_plan_free(plan);
    return status ? command_fail(status, EXIT_REQUEST) : code;
}

/* The nodes that have an artifact, by id. */
static mf_status take_name(void *self, const mf_use *use)
{
    dropping *d = self;
    row *grown = mf_list_more(d->names.rows, d->names.count, sizeof *grown);

    if (!grown)
        return mf_no_memory(0, "a list of results");
    d->names.rows = grown;
    row *r = &grown[d->names.count];
    const bool own = !strcmp(use->graph, d->w->graph_path);
    memcpy(r->id, use->id, sizeof r->id);
    if (asprintf(&r->name, "%s%s%s", own ? "" : use->graph, own || !*use->graph ? "" : " ",
                 *use->node ? use->node : "an imported result") < 0)
        return mf_no_memory(0, "a list of results");
    d->names.count++;
    return MF_OK;
}

/* "kept     volume    12 MB  patient[case=1], /b.yaml scan[case=1]: another result is the same" */
static void print_item(void *self, const mf_gc_item *item)
{
    dropping *d = self;
    const char *between = "";
    char bytes[32];

    *(item->stays ? &d->stays : &d->gone) += 1;
    words_bytes((double)item->bytes, bytes);
    printf("%-8s %-10s %8s  ",
           item->stays ? "kept"
           : d->dry    ? "drops"
                       : "dropped",
           item->type, bytes);
    for (size_t i = 0; i < d->names.count; i++)
        if (!strcmp(d->names.rows[i].id, item->id)) {
            printf("%s%s", between, d->names.rows[i].name);
            between = ", ";
        }
    printf("%s%s\n", item->stays ? ": " : "", item->stays ? item->why : "");
}

static int drop_keys(dropping *d)
{
    char freed[32];
    mf_gc_result result;
    mf_gc_options options = {
        .size = -1, .age = -1, .dry = d->dry, .keys = (const void *)d->keys, .key_count = d->count};
    mf_status status = mf_store_list_uses(d->w->store, NULL, take_name, d);

    if (!status)
        status = mf_store_gc(mf_store_dir(d->w->store), &options, print_item, d, &result);
    if (status)
        return command_fail(status, EXIT_FAILED);
    words_bytes((double)result.bytes, freed);
    printf("%s %zu result%s (%s)", d->dry ? "would drop" : "dropped", d->gone,
           d->gone == 1 ? "" : "s", freed);
    if (d->stays)
        printf("; %zu kept", d->stays);
    printf("\n");
    return EXIT_DONE;
}

static int drop(dropping *d)
{
    int code;

    if (!d->w->store)
        return command_refuse("there is no cache yet");
    code = add_targets(d);
    if (code)
        return code;
    if (d->undecided)
        printf("%zu node%s, the first is %s: not known with these parameters, left out\n",
               d->undecided, d->undecided == 1 ? "" : "s", d->first);
    if (!d->count) {
        printf("nothing of it is in the cache\n");
        return EXIT_DONE;
    }
    return drop_keys(d);
}

int cache_drop(const args *a)
{
    workspace w;
    dropping d = {.a = a, .w = &w, .dry = args_has(a, "dry-run")};
    int code;

    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = drop(&d);
    for (size_t i = 0; i < d.names.count; i++)
        free(d.names.rows[i].name);
    free(d.names.rows);
    free(d.keys);
    workspace_close(&w);
    return code;
}
