/* test_plan.c - the plan of random graphs while their nodes end in random order.
 *
 * Nothing really runs: the test starts and ends nodes itself, makes some fail, drops stored data
 * before, and lets "other processes" make some. After each step the plan must be sound
 * (mf_plan_check). In the end each node must be what a plain recursion over the graph says, and
 * have run as often.
 *
 * MASSFLOW_GRAPHS: how many graphs; MASSFLOW_SEED: the first one, to repeat one that failed. */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/plan/plan.h"
#include "small_stages.h"

#include <inttypes.h>
#include <sqlite3.h>

/* ---- stages, which are never run ------------------------------------------------------------- */

static const mf_port two_in[] = {MF_PORT("a", "text", ""), MF_PORT("b", "text?", ""), MF_END};
static const mf_port read_in[] = {MF_PORT("items", "stream<text>", ""), MF_PORT("a", "text?", ""),
                                  MF_END};
static const mf_port outs[] = {MF_PORT("x", "text", ""), MF_PORT("y", "text", ""),
                               MF_PORT("z", "text?", ""), MF_END};

SMALL_STAGE(make, "random.make", salt, salt_table, none, outs, .run = no_run);
SMALL_STAGE(two, "random.two", salt, salt_table, two_in, outs, .run = no_run);
SMALL_STAGE(all, "random.all", salt, salt_table, all_in, outs, .run = no_run);
SMALL_STAGE(items, "random.items", salt, salt_table, all_in, items_out, .item = no_item);
SMALL_STAGE(reader, "random.read", salt, salt_table, read_in, outs, .run = no_run);

typedef struct path {
    const char *path;
} path;

static const mf_param path_table[] = {MF_PATH(path, path, NULL, "A file."), MF_END};
SMALL_STAGE(file, "random.file", path, path_table, none, outs, .run = no_run);
MF_PLUGIN("random", &make, &two, &all, &items, &reader, &file)

/* ---- chance ---------------------------------------------------------------------------------- */

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(state >> 33) % n;
}

static bool chance(int percent)
{
    return below(100) < (size_t)percent;
}

static uint64_t mix(uint64_t h, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)bytes)[i]) * 1099511628211ULL;
    return h;
}

static uint64_t mix_text(uint64_t h, const char *text)
{
    return mix(h, text, strlen(text) + 1);
}

/* ---- a random graph -------------------------------------------------------------------------- */

#define STAGES 9
#define CASES 4

typedef struct drawn {
    int kind; /* 0 make, 1 two, 2 all, 3 items, 4 read */
    bool each;
} drawn;

static int64_t salts; /* of this graph; so that no two share results */

/* A reference to an earlier stage that is no stream; `list`: it may gather. True where it does. */
static bool draw_reference(FILE *out, const drawn *stages, int s, bool list, int cases)
{
    static const char *const ports[] = {"x", "y", "z"};
    bool gathers;
    int from;

    do {
        from = (int)below((size_t)s);
    } while (stages[from].kind == 3);
    gathers = stages[from].each && list && chance(80);
    fprintf(out, "\"s%d.%s", from, ports[below(8) < 7 ? below(2) : 2]);
    if (gathers)
        fprintf(out, "[*]");
    else if (stages[from].each && (!stages[s].each || chance(10)))
        fprintf(out, "[case=c%zu]", below((size_t)cases));
    fprintf(out, "\"");
    return gathers;
}

/* The inputs of stage s; `stream`: the one that it may read. True where it gathers. */
static bool draw_inputs(FILE *out, const drawn *stages, int s, int stream, int cases)
{
    int kind = stages[s].kind;
    bool gathers = false;

    if (kind == 1 || (kind == 4 && chance(50))) {
        fprintf(out, "a: ");
        draw_reference(out, stages, s, false, cases);
        fprintf(out, kind == 4 ? ", " : "");
    }
    if (kind == 1 && chance(60)) {
        fprintf(out, ", b: ");
        draw_reference(out, stages, s, false, cases);
    }
    if (kind == 4)
        fprintf(out, "items: s%d", stream);
    if (kind == 1 || kind == 4)
        return false;
    fprintf(out, "all: [");
    for (size_t k = 0, count = 1 + below(3); k < count; k++) {
        fprintf(out, "%s", k ? ", " : "");
        gathers |= draw_reference(out, stages, s, true, cases);
    }
    fprintf(out, "]");
    return gathers;
}

static void draw_stage(FILE *out, drawn *stages, int s, int cases)
{
    static const char *const names[] = {"make", "two", "all", "items", "read"};
    drawn *d = &stages[s];
    int stream = -1;
    bool gathers = false;
    char *inputs;
    size_t size;
    FILE *in = open_memstream(&inputs, &size);

    for (int k = 0; k < s; k++) {
        if (stages[k].kind == 3 && (stream < 0 || chance(50)))
            stream = k;
    }
    d->kind = s == 0 ? 0 : (int)below(5);
    if (d->kind == 4 && stream < 0)
        d->kind = 1;
    d->each = cases > 0 && chance(60);
    if (d->kind == 4)
        d->each = stages[stream].each;
    if (d->kind)
        gathers = draw_inputs(in, stages, s, stream, cases);
    fclose(in);
    fprintf(out, "  s%d:\n    use: random.%s\n%s%s", s, names[d->kind],
            d->each ? "    each: case\n" : "",
            gathers && chance(50) ? "    skip_failed: true\n" : "");
    if (d->kind)
        fprintf(out, "    in: {%s}\n", inputs);
    free(inputs);
    /* Of the cases of one stage some are the same action. */
    if (d->each && chance(60))
        fprintf(out, "    with: {salt: \"%" PRId64 "${case.n}\"}\n", salts + s);
    else
        fprintf(out, "    with: {salt: %" PRId64 "0}\n", salts + (chance(80) ? s : 0));
}

static mf_graph *draw_graph(void)
{
    drawn stages[STAGES];
    char *text;
    size_t size;
    int cases = (int)below(CASES), count = 2 + (int)below(STAGES - 1);
    FILE *out = open_memstream(&text, &size);
    mf_graph *g;

    fprintf(out, "massflow: 1\n%s", cases ? "cases:\n" : "");
    for (int k = 0; k < cases; k++)
        fprintf(out, "  - {count: 1, id: \"c%d\", n: %zu}\n", k, below(3));
    fprintf(out, "stages:\n");
    for (int s = 0; s < count; s++)
        draw_stage(out, stages, s, cases);
    fclose(out);
    g = load_text(text);
    free(text);
    return g;
}

/* ---- what a node makes ----------------------------------------------------------------------- */

#define PORTS 3

typedef char ids[PORTS][MF_HEX_SIZE];

static void identify(const char *text, char id[MF_HEX_SIZE], mf_store *store)
{
    mf_artifact *a;
    ok(mf_artifact_new("text", &a));
    ok(mf_artifact_set_text(a, "text", text));
    if (store)
        ok(mf_store_put(store, a, id));
    else
        ok(mf_store_identify(a, id));
    mf_artifact_unref(a);
}

/* What comes out is a function of what the key is made of, here `h`; z is left out by some. */
static void make_outputs(uint64_t h, mf_store *store, ids out)
{
    static const char *const ports[PORTS] = {"x", "y", "z"};
    char text[64];
    for (int p = 0; p < PORTS; p++) {
        out[p][0] = '\0';
        if (p == 2 && h % 3 == 0)
            continue;
        snprintf(text, sizeof text, "%s %" PRIx64, ports[p], h);
        identify(text, out[p], store);
    }
}

static uint64_t hash_work(const mf_work *w)
{
    uint64_t h = mix_text(14695981039346656037ULL, w->stage->name);
    h = mix_text(h, mf_params_json(w->params));
    for (size_t p = 0; p < w->feed_count; p++) {
        const mf_feed *f = &w->feeds[p];
        h = mix_text(h, f->port->name);
        if (f->stream) {
            uint64_t recipe = hash_work(f->stream);
            h = mix(h, &recipe, sizeof recipe);
        }
        for (size_t k = 0; k < f->count; k++)
            h = mix_text(h, f->elements[k].id);
    }
    return h;
}

/* ---- the world: what is stored, what fails --------------------------------------------------- */

typedef struct ran {
    uint64_t key;
    size_t recorded; /* before this run */
    size_t times;    /* in this run, successfully; by us or by others */
} ran;

typedef struct world {
    mf_store *store;
    sqlite3 *db;
    ran *runs;
    size_t count, room;
    uint64_t fails; /* one key in so many fails, of those that this shifts there; 0: none */
    bool wild;      /* what is made again comes out otherwise */
    uint64_t made;
} world;

static ran *run_of(world *w, uint64_t key)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->runs[i].key == key)
            return &w->runs[i];
    }
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 64;
        w->runs = realloc(w->runs, w->room * sizeof *w->runs);
    }
    w->runs[w->count] = (ran){.key = key};
    return &w->runs[w->count++];
}

static bool fails_here(const world *w, uint64_t key)
{
    return w->fails && mix(w->fails, &key, sizeof key) % 6 == 0;
}

/* Somebody runs the node and records it. */
static void record(world *w, const mf_plan_node *n, mf_plan_output *outputs)
{
    static const char *const ports[PORTS] = {"x", "y", "z"};
    uint64_t key = hash_work(&n->work), h = key;
    mf_action_output list[PORTS];
    ids out;
    mf_action a = {.stage = n->node->stage->name, .components = n->components, .outputs = list};

    if (w->wild && n->again)
        h = mix(h, &w->made, sizeof w->made);
    w->made++;
    make_outputs(h, w->store, out);
    memcpy(a.key, n->key, sizeof a.key);
    for (int p = 0; p < PORTS; p++) {
        memset(&outputs[p], 0, sizeof outputs[p]);
        strcpy(outputs[p].id, out[p]);
        outputs[p].present = true;
        if (!*out[p])
            continue;
        list[a.output_count] = (mf_action_output){.port = ports[p]};
        strcpy(list[a.output_count++].id, out[p]);
    }
    ok(mf_store_record(w->store, &a));
    run_of(w, key)->times++;
}

static bool present(const world *w, const char *id)
{
    bool is;
    ok(mf_store_has(w->store, id, &is));
    return is;
}

static void drop(world *w, const char *id)
{
    char *sql;
    ck_assert_int_gt(asprintf(&sql, "UPDATE artifact SET present = 0 WHERE id = x'%s'", id), 0);
    ck_assert_int_eq(sqlite3_exec(w->db, sql, NULL, NULL, NULL), SQLITE_OK);
    free(sql);
}

/* ---- what must come out: a plain recursion --------------------------------------------------- */

typedef enum how { KNOWN, STREAM, FAILS, BLOCKED } how;

typedef struct verdict {
    bool done;    /* worked out */
    how how;      /* by identity */
    bool runs;    /* was not recorded: it has to run */
    bool without; /* leaves out also that of which the data is lost */
    uint64_t key;
    ids out;
    int data[PORTS]; /* 0: not asked; 1: is or can be there; 2: can't */
    bool must, may;  /* be made again */
} verdict;

typedef struct model {
    world *world;
    mf_plan *plan; /* only for the graph's nodes and whether they are wanted */
    verdict *v;
} model;

static void work_out(model *m, size_t i);
static bool has_data(model *m, const mf_edge *e);

static const mf_node *node_at(const model *m, size_t i)
{
    return mf_plan_at(m->plan, i)->node;
}

static bool may_skip(const model *m, size_t i, const mf_edge *e)
{
    return e->gathered &&
           mf_graph_stage_at(mf_plan_graph(m->plan), node_at(m, i)->group)->skip_failed;
}

static bool lost(model *m, size_t i, const mf_edge *e)
{
    work_out(m, e->node);
    if (m->v[e->node].how == FAILS || m->v[e->node].how == BLOCKED)
        return true;
    return m->v[i].without && !has_data(m, e);
}

/* Left out, with all else of its case. */
static bool left_out(model *m, size_t i, const mf_edge *e)
{
    const mf_node *n = node_at(m, i), *source = node_at(m, e->node);

    if (!may_skip(m, i, e))
        return false;
    for (size_t p = 0; p < n->input_count; p++) {
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_edge *other = &n->inputs[p].edges[k];
            const mf_node *gone = node_at(m, other->node);
            bool same = gone->of_case || source->of_case ? gone->of_case == source->of_case
                                                         : gone == source;
            if (same && lost(m, i, other))
                return true;
        }
    }
    return false;
}

/* Whether the data that an edge brings is there, or can be made. */
static bool has_data(model *m, const mf_edge *e)
{
    verdict *v = &m->v[e->node];
    const mf_node *n = node_at(m, e->node);
    int *answer = &v->data[v->how == STREAM ? 0 : e->port];

    work_out(m, e->node);
    if (v->how == FAILS || v->how == BLOCKED)
        return false;
    if (v->how == KNOWN && (v->runs || !*v->out[e->port] || present(m->world, v->out[e->port])))
        return true;
    if (*answer)
        return *answer == 1;
    *answer = v->how == KNOWN && fails_here(m->world, v->key) ? 2 : 1;
    for (size_t p = 0; p < n->input_count; p++) {
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_edge *above = &n->inputs[p].edges[k];
            if (!left_out(m, e->node, above) && !has_data(m, above))
                *answer = 2;
        }
    }
    return *answer == 1;
}

/* Its key, from what is not left out; KNOWN, or why there is none. */
static how make_key(model *m, size_t i, uint64_t *key)
{
    const mf_node *n = node_at(m, i);
    uint64_t h = mix_text(14695981039346656037ULL, n->stage->name);

    h = mix_text(h, mf_params_json(n->params));
    for (size_t p = 0; p < n->input_count; p++) {
        bool stream = !strncmp(n->stage->in[p].type, "stream", 6);
        size_t came = 0, elements = 0;
        h = mix_text(h, n->stage->in[p].name);
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_edge *e = &n->inputs[p].edges[k];
            const verdict *v = &m->v[e->node];
            if (left_out(m, i, e))
                continue;
            came++;
            if (stream)
                h = mix(h, &v->key, sizeof v->key);
            else if (*v->out[e->port])
                h = mix_text(h, v->out[e->port]), elements++;
        }
        if (n->inputs[p].count && !came)
            return BLOCKED;
        if (n->inputs[p].count && !elements && !stream && !strchr(n->stage->in[p].type, '?'))
            return FAILS;
    }
    *key = h;
    return KNOWN;
}

/* The first edge that is lost and can't be left out, or (`data`) whose data is. */
static bool hindered(model *m, size_t i, bool data, bool *skippable)
{
    const mf_node *n = node_at(m, i);
    bool any = false;

    *skippable = true;
    for (size_t p = 0; p < n->input_count; p++) {
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_edge *e = &n->inputs[p].edges[k];
            bool bad = data ? !left_out(m, i, e) && !has_data(m, e) : lost(m, i, e);
            any = any || (bad && (data || !may_skip(m, i, e)));
            *skippable = *skippable && (!bad || may_skip(m, i, e));
        }
    }
    return any;
}

static void work_out(model *m, size_t i)
{
    verdict *v = &m->v[i];
    bool skippable, without = v->without;

    if (v->done)
        return;
    v->done = true;
    v->runs = false;
    if (hindered(m, i, false, &skippable)) {
        v->how = BLOCKED;
        return;
    }
    v->how = make_key(m, i, &v->key);
    if (v->how != KNOWN)
        return;
    if (node_at(m, i)->stage->item) {
        v->how = STREAM;
        return;
    }
    if (run_of(m->world, v->key)->recorded) {
        make_outputs(v->key, NULL, v->out);
        return;
    }
    v->runs = true;
    if (hindered(m, i, true, &skippable)) {
        v->how = BLOCKED;
        if (!skippable || without)
            return;
        v->without = true;
        v->done = false;
        work_out(m, i);
        return;
    }
    if (fails_here(m->world, v->key))
        v->how = FAILS;
    else
        make_outputs(v->key, NULL, v->out);
}

/* Node i runs (`must`) or may have been about to: what of its inputs' data has to be made for that.
 */
static void ask(model *m, size_t i, bool must)
{
    const mf_node *n = node_at(m, i);

    for (size_t p = 0; p < n->input_count; p++) {
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_edge *e = &n->inputs[p].edges[k];
            verdict *s = &m->v[e->node];
            if (left_out(m, i, e) || s->how == FAILS || s->how == BLOCKED)
                continue;
            if (s->how == STREAM) {
                ask(m, e->node, must);
                continue;
            }
            if (s->runs || !*s->out[e->port] || present(m->world, s->out[e->port]) ||
                (must ? s->must : s->may || s->must))
                continue;
            *(must ? &s->must : &s->may) = true;
            ask(m, e->node, must && has_data(m, e));
        }
    }
}

/* Its data was asked for: what is missing of it is made again, if that can be. */
static void ask_itself(model *m, size_t i)
{
    verdict *v = &m->v[i];
    bool can = true;

    for (uint16_t p = 0; p < PORTS; p++) {
        if (!*v->out[p] || present(m->world, v->out[p]))
            continue;
        v->must = true;
        can = can && has_data(m, &(mf_edge){.node = (uint32_t)i, .port = p});
    }
    if (v->must)
        ask(m, i, can);
}

static bool wanted(const model *m, size_t i)
{
    return mf_plan_at(m->plan, i)->state != MF_PLAN_UNWANTED;
}

/* Whether a stream goes on without data that is lost, for all its readers. */
static bool switches(model *m)
{
    for (size_t i = 0; i < mf_plan_count(m->plan); i++) {
        const mf_plan_node *n = mf_plan_at(m->plan, i);
        bool asked = false, kept = false, skippable;
        if (!wanted(m, i) || m->v[i].how != STREAM)
            continue;
        for (size_t k = 0; k < n->consumer_count; k++) {
            const verdict *r = &m->v[n->consumers[k]];
            asked = asked || r->runs;
            kept = kept || (r->how == KNOWN && !r->runs);
        }
        if (asked && !kept && hindered(m, i, true, &skippable) && skippable)
            return true;
    }
    return false;
}

/* All nodes. False where the order of events decides, so that nothing can be said beforehand. */
static bool predict(model *m)
{
    for (size_t i = 0; i < mf_plan_count(m->plan); i++) {
        if (wanted(m, i))
            work_out(m, i);
    }
    for (size_t i = mf_plan_count(m->plan); i-- > 0;) {
        verdict *v = &m->v[i];
        if (!wanted(m, i) || v->how == STREAM)
            continue;
        if (v->without) { /* before it was known to be lost */
            v->without = false;
            ask(m, i, false);
            v->without = true;
        }
        if (mf_plan_at(m->plan, i)->asked && v->how == KNOWN && !v->runs)
            ask_itself(m, i);
        if (v->runs)
            ask(m, i, v->how != BLOCKED);
    }
    return !switches(m);
}

/* ---- playing a run --------------------------------------------------------------------------- */

typedef struct game {
    world *world;
    mf_plan *plan;
    bool disturbed; /* jobs can't be made, leases are lost */
    size_t steps;
} game;

static void settle(game *g)
{
    ok(mf_plan_settle(g->plan));
    ok(mf_plan_check(g->plan));
    ck_assert_uint_lt(++g->steps, 10000);
}

static bool twin_runs(game *g, const mf_plan_node *n)
{
    for (size_t i = 0; i < mf_plan_count(g->plan); i++) {
        const mf_plan_node *other = mf_plan_at(g->plan, i);
        if (other->state == MF_PLAN_RUNNING && !strcmp(other->key, n->key))
            return true;
    }
    return false;
}

typedef enum what { CAN_START, RUNS, AWAY } what;

static bool is(game *g, const mf_plan_node *n, what w)
{
    if (w == RUNS)
        return n->state == MF_PLAN_RUNNING;
    if (w == AWAY)
        return n->state == MF_PLAN_TO_RUN && n->elsewhere;
    return mf_plan_can_start(n) && !twin_runs(g, n);
}

/* A random node of the kind; the count where there is none. */
static size_t choose(game *g, what w)
{
    size_t count = mf_plan_count(g->plan), from = below(count);

    for (size_t k = 0; k < count; k++) {
        size_t i = (from + k) % count;
        if (is(g, mf_plan_at(g->plan, i), w))
            return i;
    }
    return count;
}

/* The first of all that can start; the plan's count where there is none. */
static size_t next_of(mf_plan *plan)
{
    size_t past = mf_plan_count(plan), next = past, count;
    const size_t *active = mf_plan_active(plan, &count);

    while (count-- > 0) {
        size_t i = mf_plan_next(plan, active[count]);
        if (i != past && (next == past || mf_plan_before(plan, i, next)))
            next = i;
    }
    return next;
}

/* The plan finds the node that a plain search finds. */
static void check_next(game *g)
{
    size_t count = mf_plan_count(g->plan), first = count;

    for (size_t i = 0; i < count; i++) {
        const mf_plan_node *n = mf_plan_at(g->plan, i);
        if (is(g, n, CAN_START) && (first == count || n->rank > mf_plan_at(g->plan, first)->rank))
            first = i;
    }
    ck_assert_uint_eq(next_of(g->plan), first);
}

/* All that it reads is in the store. */
static void check_inputs(const world *w, const mf_work *work)
{
    for (size_t p = 0; p < work->feed_count; p++) {
        if (work->feeds[p].stream)
            check_inputs(w, work->feeds[p].stream);
        for (size_t k = 0; k < work->feeds[p].count; k++)
            ck_assert(present(w, work->feeds[p].elements[k].id));
    }
}

static void end(game *g, size_t i)
{
    const mf_plan_node *n = mf_plan_at(g->plan, i);
    mf_plan_output outputs[PORTS];

    if (g->disturbed && chance(10)) {
        mf_plan_put_back(g->plan, i);
    } else if (fails_here(g->world, hash_work(&n->work))) {
        mf_plan_fail(g->plan, i, strdup("fails"), 0);
    } else {
        record(g->world, n, outputs);
        mf_plan_finish(g->plan, i, outputs, 0);
    }
    settle(g);
}

/* As the look at its lease says: recorded, and all of it there. */
static bool is_stored(game *g, const mf_plan_node *n)
{
    mf_action *a;
    bool whole;

    ok(mf_store_find(g->world->store, n->key, NULL, &a));
    whole = a != NULL;
    for (size_t i = 0; a && i < a->output_count; i++)
        whole = whole && a->outputs[i].present;
    mf_action_free(a);
    return whole;
}

static void begin(game *g, size_t i)
{
    const mf_plan_node *n = mf_plan_at(g->plan, i);
    mf_plan_output outputs[PORTS];

    if (is_stored(g, n)) {
        ok(mf_plan_look_again(g->plan, i));
        ck_assert_int_eq(n->state, MF_PLAN_CACHED);
    } else if (g->disturbed && chance(5)) {
        mf_plan_fail(g->plan, i, strdup("could not be made"), 0);
    } else if (chance(5)) {
        mf_plan_defer(g->plan, i);
    } else if (chance(15) && !fails_here(g->world, hash_work(&n->work))) {
        record(g->world, n, outputs); /* by another process */
        ok(mf_plan_look_again(g->plan, i));
        ck_assert_int_eq(n->state, MF_PLAN_CACHED);
    } else {
        check_inputs(g->world, &n->work);
        mf_plan_start(g->plan, i);
    }
    settle(g);
}

/* The other process gave it up. */
static void come_back(game *g, size_t i)
{
    mf_plan_resume(g->plan, i);
    settle(g);
}

static void play(game *g)
{
    static void (*const events[])(game * g, size_t i) = {begin, end, come_back};
    size_t count = mf_plan_count(g->plan);

    ok(mf_plan_check(g->plan));
    for (;;) {
        size_t nodes[] = {choose(g, CAN_START), choose(g, RUNS), choose(g, AWAY)};
        size_t w = chance(60) ? CAN_START : chance(80) ? RUNS : AWAY;
        check_next(g);
        for (int k = 0; k < 3 && nodes[w] == count; k++)
            w = (w + 1) % 3;
        if (nodes[w] == count)
            break;
        events[w](g, nodes[w]);
    }
    ok(mf_plan_left(g->plan));
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_node(model *m, size_t i)
{
    const mf_plan_node *n = mf_plan_at(m->plan, i);
    const verdict *v = &m->v[i];
    mf_plan_state s = n->state;

    if (v->how == FAILS || v->how == BLOCKED) {
        ck_assert_msg(s == (v->how == FAILS ? MF_PLAN_FAILED : MF_PLAN_BLOCKED), "%s is %d, not %d",
                      n->node->name, s, v->how);
        return;
    }
    for (int p = 0; p < PORTS; p++)
        ck_assert_msg(!strcmp(n->outputs[p].id, v->out[p]), "%s", n->node->name);
    if (v->runs) {
        ck_assert_msg(s == MF_PLAN_DONE || s == MF_PLAN_CACHED, "%s is %d", n->node->name, s);
    } else if (v->must || v->may) {
        bool fine = s == MF_PLAN_DONE || s == MF_PLAN_CACHED;
        const mf_edge self = {.node = (uint32_t)i};
        bool can = true;
        for (uint16_t p = 0; p < PORTS; p++)
            can = can && has_data(m, &(mf_edge){.node = self.node, .port = p});
        ck_assert_msg(can ? fine : !v->must || !fine, "%s is %d", n->node->name, s);
    } else {
        ck_assert_msg(s == MF_PLAN_CACHED, "%s is %d, not cached", n->node->name, s);
    }
}

/* Each action ran as often as it had to. */
static void check_runs(model *m)
{
    world *w = m->world;

    for (size_t k = 0; k < w->count; k++) {
        bool must = false, may = false;
        for (size_t i = 0; i < mf_plan_count(m->plan); i++) {
            const verdict *v = &m->v[i];
            if (!wanted(m, i) || v->how != KNOWN || v->key != w->runs[k].key)
                continue;
            must = must || v->runs || (v->must && !fails_here(w, v->key));
            may = may || v->may || v->must;
        }
        ck_assert_uint_le(w->runs[k].times, must || may);
    }
    for (size_t i = 0; i < mf_plan_count(m->plan); i++) {
        if (wanted(m, i) && m->v[i].how == KNOWN && m->v[i].runs)
            ck_assert_uint_eq(run_of(w, m->v[i].key)->times, 1);
    }
}

/* The same again: all is cached, and as it was. */
static void check_again(mf_plan *plan, const bool *asked, const mf_plan_options *options)
{
    mf_plan *again;

    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        mf_plan_state s = mf_plan_at(plan, i)->state;
        if (s == MF_PLAN_FAILED || s == MF_PLAN_BLOCKED)
            return;
    }
    ok(mf_plan_new(mf_plan_graph(plan), mf_plan_store(plan), asked, options, &again));
    ok(mf_plan_check(again));
    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(again, i);
        ck_assert_msg(n->state == MF_PLAN_UNWANTED || n->state == MF_PLAN_CACHED ||
                          n->state == MF_PLAN_RECIPE,
                      "%s is %d the second time", n->node->name, n->state);
        ck_assert_str_eq(n->key, mf_plan_at(plan, i)->key);
    }
    mf_plan_free(again);
}

static void draw_wanted(const mf_graph *graph, bool *asked, mf_plan_options *options)
{
    size_t count = mf_graph_node_count(graph);

    *options = (mf_plan_options){.named = chance(40)};
    for (size_t i = 0; i < count; i++)
        asked[i] = !options->named || chance(25);
    asked[below(count)] = true;
}

/* A run; with `m`, against what is foreseen. True where that could be. */
static bool run_once(world *w, const mf_graph *graph, const bool *asked,
                     const mf_plan_options *options, bool disturbed, bool exact)
{
    game g = {.world = w, .disturbed = disturbed};
    model m = {.world = w};

    for (size_t k = 0; k < w->count; k++) {
        w->runs[k].recorded += w->runs[k].times;
        w->runs[k].times = 0;
    }
    ok(mf_plan_new(graph, w->store, asked, options, &g.plan));
    m.plan = g.plan;
    m.v = calloc(mf_plan_count(g.plan) + 1, sizeof *m.v);
    exact = exact && predict(&m);
    play(&g);
    for (size_t i = 0; i < mf_plan_count(g.plan) && exact; i++) {
        if (wanted(&m, i) && m.v[i].how != STREAM)
            check_node(&m, i);
    }
    if (exact)
        check_runs(&m);
    check_again(g.plan, asked, options);
    free(m.v);
    mf_plan_free(g.plan);
    return exact;
}

/* Some of what there is is dropped. */
static void drop_some(world *w, int percent)
{
    for (size_t k = 0; k < w->count; k++) {
        ids out;
        if (!w->runs[k].recorded && !w->runs[k].times)
            continue;
        make_outputs(w->runs[k].key, NULL, out);
        for (int p = 0; p < PORTS; p++) {
            if (*out[p] && chance(percent))
                drop(w, out[p]);
        }
    }
}

/* One graph: it runs for some targets, data is dropped, it runs for others. */
static size_t try_graph(world *w, uint64_t seed)
{
    mf_plan_options options;
    mf_graph *graph;
    bool *asked;
    size_t exact = 0;

    state = seed * 0x9e3779b97f4a7c15ULL + 1;
    salts = 1 + (int64_t)(seed * 10 % 90000000);
    w->count = 0;
    graph = draw_graph();
    asked = calloc(mf_graph_node_count(graph) + 1, sizeof *asked);
    for (int run = 0; run < 3; run++) {
        bool disturbed = chance(20);
        w->fails = chance(40) ? 1 + below(1000000) : 0;
        w->wild = run == 2 && chance(30);
        draw_wanted(graph, asked, &options);
        exact += run_once(w, graph, asked, &options, disturbed, !disturbed && !w->wild);
        drop_some(w, (int)below(101));
    }
    free(asked);
    mf_graph_free(graph);
    return exact;
}

static size_t number(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text ? (size_t)strtoull(text, NULL, 10) : otherwise;
}

START_TEST(random_graphs)
{
    world w = {0};
    size_t graphs = number("MASSFLOW_GRAPHS", 200), first = number("MASSFLOW_SEED", 1), exact = 0;
    enter_scratch();
    ok(mf_store_open("store", MF_STORE_WRITE, &w.store));
    ck_assert_int_eq(sqlite3_open("store/cache.db", &w.db), SQLITE_OK);
    sqlite3_busy_timeout(w.db, 10000);
    for (size_t i = 0; i < graphs; i++) {
        printf("MASSFLOW_SEED=%zu\n", first + i);
        fflush(stdout);
        exact += try_graph(&w, first + i);
    }
    printf("%zu of %zu runs were foreseen\n", exact, 3 * graphs);
    if (graphs >= 100)
        ck_assert_uint_gt(exact, graphs); /* of three each */
    sqlite3_close(w.db);
    mf_store_close(w.store);
    free(w.runs);
    leave_scratch();
}
END_TEST

/* ---- single cases ---------------------------------------------------------------------------- */

static const char diamond[] = "massflow: 1\n"
                              "stages:\n"
                              "  scan: {use: random.make, with: {salt: 1}}\n"
                              "  masks: {use: random.two, in: {a: scan.x}, with: {salt: 2}}\n"
                              "  picture: {use: random.two, in: {a: scan.x, b: masks.x},"
                              " with: {salt: 3}}\n";

/* What gc leaves of a diamond is made again from the top down, whatever is left. */
START_TEST(a_diamond_after_gc)
{
    bool asked[3] = {true, true, true};
    mf_plan_options options = {0};
    enter_scratch();
    for (int gone = 0; gone < 8; gone++) {
        world w = {0};
        char name[16];
        snprintf(name, sizeof name, "store%d", gone);
        ok(mf_store_open(name, MF_STORE_WRITE, &w.store));
        strcat(name, "/cache.db");
        ck_assert_int_eq(sqlite3_open(name, &w.db), SQLITE_OK);
        mf_graph *graph = load_text(diamond);
        state = 1;
        ck_assert(run_once(&w, graph, asked, &options, false, true));
        for (size_t k = 0; k < 3; k++) {
            ids out;
            make_outputs(w.runs[k].key, NULL, out);
            for (int p = 0; p < PORTS && (gone >> k & 1); p++)
                drop(&w, out[p]);
        }
        ck_assert(run_once(&w, graph, asked, &options, false, true));
        mf_graph_free(graph);
        sqlite3_close(w.db);
        mf_store_close(w.store);
        free(w.runs);
    }
    leave_scratch();
}
END_TEST

/* ---- each change of state -------------------------------------------------------------------- */

typedef struct staged {
    mf_store *store;
    mf_graph *graph;
    mf_plan *plan;
} staged;

static size_t at(const staged *g, const char *name)
{
    for (size_t i = 0; i < mf_plan_count(g->plan); i++)
        if (!strcmp(mf_plan_at(g->plan, i)->node->name, name))
            return i;
    ck_abort_msg("there is no %s", name);
    return 0;
}

static void stage_begin(staged *g, const char *text)
{
    bool asked[8] = {true, true, true, true, true, true, true, true};
    mf_plan_options options = {0};
    ok(mf_store_open("store", MF_STORE_WRITE, &g->store));
    g->graph = load_text(text);
    ok(mf_plan_new(g->graph, g->store, asked, &options, &g->plan));
}

static void stage_end(staged *g)
{
    mf_plan_free(g->plan);
    mf_graph_free(g->graph);
    mf_store_close(g->store);
}

/* Settled, the states of all nodes are these; "!" behind one: it can start. */
static void states(staged *g, const char *expected)
{
    static const char *const words[MF_PLAN_STATES] = {"unwanted", "waiting",  "recipe", "cached",
                                                      "to run",   "running",  "done",   "failed",
                                                      "blocked",  "cancelled"};
    char text[512] = "";
    ok(mf_plan_settle(g->plan));
    ok(mf_plan_check(g->plan));
    for (size_t i = 0; i < mf_plan_count(g->plan); i++) {
        const mf_plan_node *n = mf_plan_at(g->plan, i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s%s", i ? ", " : "",
                 n->node->name, words[n->state], mf_plan_can_start(n) ? "!" : "");
    }
    ck_assert_str_eq(text, expected);
}

static void stage_store(staged *g, const char *name, const char *content,
                        mf_plan_output outputs[PORTS])
{
    static const char *const ports[PORTS] = {"x", "y", "z"};
    const mf_plan_node *n = mf_plan_at(g->plan, at(g, name));
    mf_action_output list[PORTS];
    mf_action a = {.stage = n->node->stage->name, .components = n->components, .outputs = list};
    memcpy(a.key, n->key, sizeof a.key);
    a.output_count = 2; /* z is left out */
    outputs[2] = (mf_plan_output){.present = true};
    for (int p = 0; p < 2; p++) {
        char text[64];
        snprintf(text, sizeof text, "%s %s", content, ports[p]);
        outputs[p].present = true;
        identify(text, outputs[p].id, g->store);
        list[p] = (mf_action_output){.port = ports[p]};
        strcpy(list[p].id, outputs[p].id);
    }
    ok(mf_store_record(g->store, &a));
}

static void stage_finish(staged *g, const char *name, const char *content)
{
    mf_plan_output outputs[PORTS];
    stage_store(g, name, content, outputs);
    mf_plan_finish(g->plan, at(g, name), outputs, 1);
}

static void stage_run(staged *g, const char *name)
{
    mf_plan_start(g->plan, at(g, name));
    stage_finish(g, name, name);
    ok(mf_plan_settle(g->plan));
}

static void stage_drop(const char *text)
{
    world w = {0};
    char id[MF_HEX_SIZE];
    identify(text, id, NULL);
    ck_assert_int_eq(sqlite3_open("store/cache.db", &w.db), SQLITE_OK);
    sqlite3_busy_timeout(w.db, 10000);
    drop(&w, id);
    sqlite3_close(w.db);
}

static const char chain[] = "massflow: 1\n"
                            "stages:\n"
                            "  a: {use: random.make}\n"
                            "  b: {use: random.two, in: {a: a.x}}\n"
                            "  c: {use: random.two, in: {a: b.x}}\n";

START_TEST(to_run_and_running)
{
    staged g;
    enter_scratch();
    stage_begin(&g, chain);
    states(&g, "a to run!, b waiting, c waiting");
    mf_plan_start(g.plan, 0);
    states(&g, "a running, b waiting, c waiting");
    mf_plan_put_back(g.plan, 0);
    states(&g, "a to run!, b waiting, c waiting");
    mf_plan_defer(g.plan, 0);
    states(&g, "a to run, b waiting, c waiting");
    ck_assert_uint_eq(next_of(g.plan), 3);
    mf_plan_resume(g.plan, 0);
    states(&g, "a to run!, b waiting, c waiting");
    ck_assert_uint_eq(next_of(g.plan), 0);
    stage_run(&g, "a");
    states(&g, "a done, b to run!, c waiting");
    ck_assert_double_eq(mf_plan_at(g.plan, 0)->seconds, 1);
    mf_plan_start(g.plan, 1);
    mf_plan_fail(g.plan, 1, strdup("broken"), 3);
    states(&g, "a done, b failed, c blocked");
    ck_assert_str_eq(mf_plan_at(g.plan, 1)->message, "broken");
    ck_assert_double_eq(mf_plan_at(g.plan, 1)->seconds, 3);
    ck_assert_str_eq(mf_plan_at(g.plan, 2)->message, "needs b");
    stage_end(&g);
    stage_begin(&g, chain); /* what ran is found when it is planned */
    states(&g, "a cached, b to run!, c waiting");
    mf_plan_fail(g.plan, 1, strdup("can't be made"), 0);
    states(&g, "a cached, b failed, c blocked");
    stage_end(&g);
    stage_begin(&g, chain);
    mf_plan_cancel(g.plan, 1);
    states(&g, "a cached, b cancelled, c waiting");
    stage_end(&g);
    stage_begin(&g, chain);
    mf_plan_start(g.plan, 1);
    mf_plan_cancel(g.plan, 1);
    states(&g, "a cached, b cancelled, c waiting");
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* Another process stores it. */
START_TEST(found_by_another_look)
{
    staged g;
    mf_plan_output outputs[PORTS];
    enter_scratch();
    stage_begin(&g, chain);
    ok(mf_plan_look_again(g.plan, 0)); /* nothing is there */
    states(&g, "a to run!, b waiting, c waiting");
    stage_store(&g, "a", "a", outputs);
    ok(mf_plan_look_again(g.plan, 0));
    states(&g, "a cached, b to run!, c waiting");
    stage_end(&g);
    leave_scratch();
}
END_TEST

static const char twins[] = "massflow: 1\n"
                            "stages:\n"
                            "  a: {use: random.make}\n"
                            "  twin: {use: random.make}\n"
                            "  b: {use: random.two, in: {a: twin.x}}\n";

START_TEST(twins_have_one_result)
{
    staged g;
    enter_scratch();
    stage_begin(&g, twins);
    states(&g, "a to run!, twin to run!, b waiting");
    ck_assert_uint_eq(next_of(g.plan), 1); /* the longer way down */
    mf_plan_start(g.plan, 1);
    states(&g, "a to run!, twin running, b waiting");
    ck_assert_uint_eq(next_of(g.plan), 3); /* it waits for its twin */
    mf_plan_put_back(g.plan, 1);
    mf_plan_defer(g.plan, 1);
    states(&g, "a to run!, twin to run, b waiting");
    ck_assert_uint_eq(next_of(g.plan), 0);
    stage_run(&g, "a");
    states(&g, "a done, twin cached, b to run!");
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* Its data is needed, and no more. */
START_TEST(again_and_back)
{
    staged g;
    mf_plan_output outputs[PORTS];
    enter_scratch();
    stage_begin(&g, chain);
    stage_run(&g, "a");
    stage_run(&g, "b");
    stage_end(&g);
    stage_drop("a x");
    stage_drop("b x");
    stage_begin(&g, chain);
    states(&g, "a to run!, b to run, c to run");
    ck_assert(mf_plan_at(g.plan, 0)->again && mf_plan_at(g.plan, 1)->again);
    stage_store(&g, "c", "c", outputs);
    ok(mf_plan_look_again(g.plan, 2));
    states(&g, "a cached, b cached, c cached");
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* Data that can't be made blocks who needs it; who is known stays known. */
START_TEST(data_that_is_lost)
{
    staged g;
    enter_scratch();
    stage_begin(&g, chain);
    stage_run(&g, "a");
    stage_run(&g, "b");
    stage_end(&g);
    stage_drop("a x");
    stage_drop("b x");
    stage_begin(&g, chain);
    mf_plan_start(g.plan, 0);
    mf_plan_fail(g.plan, 0, strdup("broken"), 0);
    states(&g, "a failed, b blocked, c blocked");
    ck_assert(mf_plan_at(g.plan, 0)->known && mf_plan_at(g.plan, 1)->known);
    ck_assert(!mf_plan_at(g.plan, 2)->known);
    stage_end(&g);
    leave_scratch();
}
END_TEST

static const char late[] = "massflow: 1\n"
                           "stages:\n"
                           "  a: {use: random.make}\n"
                           "  slow: {use: random.make, with: {salt: 1}}\n"
                           "  b: {use: random.two, in: {a: a.x}}\n"
                           "  items: {use: random.items, in: {all: [a.x]}}\n"
                           "  read: {use: random.read, in: {items: items}}\n"
                           "  c: {use: random.two, in: {a: slow.x, b: a.y}}\n";

/* `a` ran before, its y was collected; once `slow` is done it is needed, and comes out otherwise.
 */
static void late_begin(staged *g)
{
    stage_begin(g, "massflow: 1\nstages:\n  a: {use: random.make}\n");
    stage_run(g, "a");
    stage_end(g);
    stage_drop("a y");
    stage_begin(g, late);
    states(g, "a cached, slow to run!, b to run!, items recipe, c waiting, read to run!");
}

START_TEST(what_comes_out_otherwise_is_decided_anew)
{
    char b[MF_HEX_SIZE], items_key[MF_HEX_SIZE];
    staged g;
    enter_scratch();
    late_begin(&g);
    stage_run(&g, "b");
    strcpy(b, mf_plan_at(g.plan, 2)->key);
    strcpy(items_key, mf_plan_at(g.plan, 3)->key);
    stage_run(&g, "slow");
    states(&g, "a to run!, slow done, b done, items recipe, c to run, read to run");
    mf_plan_start(g.plan, 0);
    stage_finish(&g, "a", "other");
    states(&g, "a done, slow done, b to run!, items recipe, c to run!, read to run!");
    ck_assert_str_ne(mf_plan_at(g.plan, 2)->key, b);
    ck_assert_str_ne(mf_plan_at(g.plan, 3)->key, items_key);
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* Who runs keeps what it has begun with, and is decided anew when it ends. */
START_TEST(who_runs_is_left_alone)
{
    char b[MF_HEX_SIZE];
    staged g;
    enter_scratch();
    late_begin(&g);
    mf_plan_start(g.plan, 2);
    mf_plan_start(g.plan, 5);
    strcpy(b, mf_plan_at(g.plan, 2)->key);
    stage_run(&g, "slow");
    mf_plan_start(g.plan, 0);
    stage_finish(&g, "a", "other");
    states(&g, "a done, slow done, b running, items recipe, c to run!, read running");
    ck_assert_str_eq(mf_plan_at(g.plan, 2)->key, b);
    stage_finish(&g, "b", "b");
    states(&g, "a done, slow done, b to run!, items recipe, c to run!, read running");
    ck_assert_str_ne(mf_plan_at(g.plan, 2)->key, b);
    stage_finish(&g, "read", "read");
    states(&g, "a done, slow done, b to run!, items recipe, c to run!, read to run!");
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* A file that can't be read fails its node when it is planned. */
START_TEST(a_file_that_is_not_there)
{
    bool asked[2] = {true, true};
    mf_plan_options options = {0};
    staged g;
    enter_scratch();
    write_file("gone", "");
    ok(mf_store_open("store", MF_STORE_WRITE, &g.store));
    g.graph = load_text("massflow: 1\n"
                        "stages:\n"
                        "  a: {use: random.file, with: {path: gone}}\n"
                        "  b: {use: random.two, in: {a: a.x}}\n");
    ck_assert_int_eq(unlink("gone"), 0);
    ok(mf_plan_new(g.graph, g.store, asked, &options, &g.plan));
    states(&g, "a failed, b blocked");
    stage_end(&g);
    leave_scratch();
}
END_TEST

/* A plan that nobody runs is left, and says so. */
START_TEST(what_is_left_is_said)
{
    bool asked[3] = {true, true, true};
    mf_plan_options options = {0};
    mf_store *store;
    mf_plan *plan;
    enter_scratch();
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    mf_graph *graph = load_text(diamond);
    ok(mf_plan_new(graph, store, asked, &options, &plan));
    fails(mf_plan_left(plan),
          "the run ended though 3 nodes are left: scan, masks, picture\n"
          "  this is a bug in massflow, not in the graph; run the same command again to continue");
    mf_plan_cancel(plan, 0);
    ok(mf_plan_settle(plan));
    fails(mf_plan_left(plan),
          "the run ended though 2 nodes are left: masks, picture\n"
          "  this is a bug in massflow, not in the graph; run the same command again to continue");
    mf_plan_free(plan);
    ok(mf_plan_new(graph, store, asked, &options, &plan));
    mf_plan_fail(plan, 0, strdup("x"), 0);
    ok(mf_plan_settle(plan));
    ok(mf_plan_left(plan));
    mf_plan_free(plan);
    mf_graph_free(graph);
    mf_store_close(store);
    leave_scratch();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *c = tcase_create("plan");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_diamond_after_gc);
    tcase_add_test(c, what_is_left_is_said);
    tcase_add_test(c, to_run_and_running);
    tcase_add_test(c, found_by_another_look);
    tcase_add_test(c, twins_have_one_result);
    tcase_add_test(c, again_and_back);
    tcase_add_test(c, data_that_is_lost);
    tcase_add_test(c, what_comes_out_otherwise_is_decided_anew);
    tcase_add_test(c, who_runs_is_left_alone);
    tcase_add_test(c, a_file_that_is_not_there);
    tcase_add_test(c, random_graphs);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
