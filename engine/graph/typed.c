/* typed.c - the tree's stages: labels, the stages they use, `each` and `where`. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const stage_keys[] = {"use",     "each",    "where",   "in",    "with",
                                         "isolate", "timeout", "retries", "memory"};
static const char *const stage_later[] = {"skip_failed", "keep", "device"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(text, list[i]))
            return true;
    return false;
}

/* ---- use ---------------------------------------------------------------------------------------
 */

static bool read_use(mf_graph *g, stage_def *def)
{
    def->use = yaml_get(def->node, "use", NULL);
    if (!def->use)
        return graph_error(g, def->key, "'%s' does not say which stage it uses: 'use: STAGE'",
                           def->key->text);
    if (def->use->kind != YAML_SCALAR || !*def->use->text)
        return graph_error(g, def->use, "'use' takes the name of a stage");
    def->stage = mf_registry_stage(g->registry, def->use->text);
    if (def->stage)
        return true;
    const char *near = mf_registry_near(g->registry, def->use->text);
    if (near)
        graph_error(g, def->use, "unknown stage '%s'; did you mean '%s'?", def->use->text, near);
    else
        graph_error(g, def->use, "unknown stage '%s'", def->use->text);
    mf_diagnostics_note(g->d, "massflow stages lists the %zu installed ones",
                        mf_registry_count(g->registry));
    return false;
}

/* ---- each --------------------------------------------------------------------------------------
 */

static bool read_axis(mf_graph *g, stage_def *def, const yaml *node)
{
    if (node->kind != YAML_SCALAR)
        return graph_error(g, node, "'each' takes the name of an axis, or a list of names");
    static const char *const axes[] = {"case"};
    if (mf_nearest(node->text, axes, 1) && strcmp(node->text, "case"))
        return graph_error(g, node, "no axis '%s'; did you mean 'case'?", node->text);
    if (strcmp(node->text, "case"))
        return graph_error(g, node,
                           "axis '%s': axes other than 'case' are not supported yet in this "
                           "version",
                           node->text);
    if (def->each_case)
        return graph_error(g, node, "the axis 'case' is there twice");
    def->each_case = true;
    return true;
}

static bool read_each(mf_graph *g, stage_def *def)
{
    const yaml *each = yaml_get(def->node, "each", NULL);
    bool good = true;
    if (!each)
        return true;
    if (each->kind == YAML_LIST)
        for (size_t i = 0; i < each->count; i++)
            good &= read_axis(g, def, each->items[i]);
    else
        good = read_axis(g, def, each);
    if (def->each_case && !g->case_count && !g->cases_wrong) {
        good = graph_error(g, each, "'%s' is per case, but the graph has no cases", def->key->text);
        mf_diagnostics_note(g->d, "write, for example, cases: {glob: \"scans/*.nii.gz\"}");
    }
    return good;
}

/* ---- where -------------------------------------------------------------------------------------
 */

static bool read_filter(mf_graph *g, filter *f, const yaml *key, const yaml *node)
{
    given v;
    if (!g->cases_wrong && !has_column(g, key->text)) {
        graph_unknown(g, key, "the cases have no column", g->columns, g->column_count);
        note_columns(g);
        return false;
    }
    if (varies(node))
        return graph_error(g, node, "'where' chooses cases; it cannot depend on the case");
    if (!resolve(g, node, NULL, &v))
        return false;
    f->column = key->text;
    f->node = node;
    f->count = v.list ? v.count : 1;
    f->values = mf_arena_alloc(g->arena, f->count, sizeof *f->values);
    for (size_t i = 0; i < f->count; i++)
        f->values[i] = v.list ? v.texts[i] : v.text;
    return true;
}

static bool passes(const mf_case *c, const filter *f)
{
    const char *text = mf_case_column(c, f->column);
    for (size_t i = 0; text && i < f->count; i++)
        if (compare_values(f->column, text, EQUAL, f->values[i]))
            return true;
    return false;
}

static bool apply_filters(mf_graph *g, stage_def *def, const yaml *where)
{
    def->cases = mf_arena_alloc(g->arena, g->case_count, sizeof *def->cases);
    for (size_t i = 0; i < g->case_count; i++) {
        bool pass = true;
        for (size_t k = 0; k < def->filter_count && pass; k++)
            pass = passes(&g->cases[i], &def->filters[k]);
        if (pass)
            def->cases[def->case_count++] = (uint32_t)i;
    }
    if (def->case_count || g->cases_wrong)
        return true;
    return graph_error(g, where, "this leaves none of the %zu case%s for '%s'", g->case_count,
                       g->case_count == 1 ? "" : "s", def->key->text);
}

static bool read_where(mf_graph *g, stage_def *def)
{
    yaml *key;
    const yaml *where = yaml_get(def->node, "where", &key);
    bool good = true;
    if (!where)
        return true;
    if (where->kind != YAML_MAP)
        return graph_error(g, where, "'where' takes columns and their values, as in {set: train}");
    if (!def->each_case)
        return graph_error(g, key, "'where' chooses cases, but '%s' has no 'each: case'",
                           def->key->text);
    def->filters = mf_arena_alloc(g->arena, where->count, sizeof *def->filters);
    for (size_t i = 0; i < where->count; i++)
        good &= read_filter(g, &def->filters[def->filter_count++], where->items[2 * i],
                            where->items[2 * i + 1]);
    return good && apply_filters(g, def, where);
}

uint32_t def_cases(const mf_graph *g, const stage_def *def)
{
    return !def->each_case ? 1 : def->cases ? def->case_count : (uint32_t)g->case_count;
}

uint32_t def_case(const stage_def *def, uint32_t i)
{
    return def->cases ? def->cases[i] : i;
}

uint32_t case_position(const stage_def *def, uint32_t c)
{
    if (!def->cases)
        return c;
    uint32_t low = 0, high = def->case_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (def->cases[middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < def->case_count && def->cases[low] == c ? low : NAME_NONE;
}

/* ---- stages ------------------------------------------------------------------------------------
 */

static bool read_stage(mf_graph *g, stage_def *def)
{
    bool good = true;
    if (def->node->kind != YAML_MAP)
        return graph_error(g, def->node, "a stage has the keys use, each, where, in, with");
    for (size_t i = 0; i < def->node->count; i++) {
        const yaml *key = def->node->items[2 * i];
        if (one_of(key->text, stage_later, COUNT(stage_later)))
            good = graph_error(g, key, "'%s' is not supported yet in this version", key->text);
        else if (!one_of(key->text, stage_keys, COUNT(stage_keys)))
            good = graph_unknown(g, key, "a stage has no key", stage_keys, COUNT(stage_keys));
    }
    good &= read_use(g, def);
    good &= read_limits(g, def);
    good &= read_each(g, def);
    good &= read_where(g, def);
    def->with = yaml_get(def->node, "with", NULL);
    return good;
}

bool read_stages(mf_graph *g)
{
    const yaml *map = yaml_get(g->root, "stages", NULL);
    bool good = true;
    if (!map || yaml_empty(map))
        return graph_error(g, map ? map : g->root, "the graph has no stages");
    if (map->kind != YAML_MAP || !map->count)
        return graph_error(g, map, "'stages' takes names, each with the stage that it uses");
    g->defs = mf_arena_alloc(g->arena, map->count, sizeof *g->defs);
    for (size_t i = 0; i < map->count; i++) {
        stage_def *def = &g->defs[g->def_count];
        *def = (stage_def){.key = map->items[2 * i], .node = map->items[2 * i + 1]};
        if (!is_name(def->key->text))
            good = graph_error(g, def->key,
                               "'%s' is no name for a stage of a graph: letters, digits, _ and -",
                               def->key->text);
        names_add(&g->labels, def->key->text, (uint32_t)g->def_count++);
    }
    for (size_t i = 0; i < g->def_count; i++)
        good &= read_stage(g, &g->defs[i]);
    return good;
}
