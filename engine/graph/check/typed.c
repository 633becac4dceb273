/* typed.c - the tree's stages: labels, the stages they use, `each` and `where`. */
#include "graph/check/typed.h"
#include "graph/check/limits.h"
#include "graph/check/reference.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/text/names.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

static const char *const stage_keys[] = {"use",    "each",    "where",      "in",
                                         "with",   "isolate", "timeout",    "retries",
                                         "memory", "pool",    "skip_failed"};
static const char *const stage_later[] = {"keep", "device"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const *mf__graph_stage_keys(size_t *count)
{
    *count = COUNT(stage_keys);
    return stage_keys;
}

static bool one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(text, list[i]))
            return true;
    return false;
}

/* Keys of the file that are met in stages. */
static const char *file_key(const char *key)
{
    static const char *const examples[][2] = {{"export", "export: {LABEL: FILE}"},
                                              {"cases", "cases: {glob: \"scans/*.nii.gz\"}"},
                                              {"params", "params: {NAME: VALUE}"},
                                              {"axes", "axes: {NAME: [VALUE, VALUE]}"},
                                              {"include", "include: {NAME: {file: FILE}}"},
                                              {"stages", "stages: {NAME: {use: STAGE}}"}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        if (!strcmp(key, examples[i][0]))
            return examples[i][1];
    return NULL;
}

bool mf__graph_misplaced(mf_graph *g, const stage_def *def, const yaml *key, const char *where)
{
    const mf_stage *stage = def->stage;
    const char *example = file_key(key->text);
    size_t count;
    const char *const *keys = mf__graph_stage_keys(&count);
    if (strcmp(where, "with") && stage && mf_param_find(stage, key->text))
        mf__graph_error(g, key, "'%s' is a parameter of %s: it stands in 'with'", key->text,
                        stage->name);
    else if (strcmp(where, "in") && stage && mf_port_find(stage->in, key->text) >= 0)
        mf__graph_error(g, key, "'%s' is an input of %s: it stands in 'in'", key->text,
                        stage->name);
    else if (strcmp(where, "use") && one_of(key->text, keys, count))
        mf__graph_error(g, key, "'%s' stands beside 'use', not in '%s'", key->text, where);
    else if (example) {
        mf__graph_error(g, key, "'%s' stands at the top of the file, beside 'stages'", key->text);
        mf_diagnostics_note(g->d, "as in %s", example);
    } else
        return false;
    return true;
}

/* ---- use ---------------------------------------------------------------------------------------
 */

static bool read_use(mf_graph *g, stage_def *def)
{
    def->use = mf_yaml_get(def->node, "use", NULL);
    if (!def->use)
        return mf__graph_error(g, def->key, "'%s' does not say which stage it uses: 'use: STAGE'",
                               def->key->text);
    if (def->use->kind != YAML_SCALAR || !*def->use->text)
        return mf__graph_error(g, def->use, "'use' takes the name of a stage");
    def->stage = mf_registry_stage(g->registry, def->use->text);
    if (def->stage)
        return true;
    const char *near = mf_registry_near(g->registry, def->use->text);
    if (near)
        mf__graph_error(g, def->use, "unknown stage '%s'; did you mean '%s'?", def->use->text,
                        near);
    else
        mf__graph_error(g, def->use, "unknown stage '%s'", def->use->text);
    mf_diagnostics_note(g->d,
                        "massflow stages lists the %zu that are loaded; --plugins DIR or "
                        "MASSFLOW_PLUGINS loads more",
                        mf_registry_count(g->registry));
    return false;
}

/* ---- each --------------------------------------------------------------------------------------
 */

static bool read_axis(mf_graph *g, stage_def *def, const yaml *node)
{
    if (node->kind != YAML_SCALAR)
        return mf__graph_error(g, node, "'each' takes the name of an axis, or a list of names");
    uint32_t index = mf__find_axis(g, node->text);
    if (index == NAME_NONE) {
        const char *all[MOST_AXES];
        for (uint32_t i = 0; i < g->axis_count; i++)
            all[i] = g->axes[i].name;
        if (g->axes_wrong)
            return false;
        mf__graph_unknown(g, node, "no axis", all, g->axis_count);
        if (!mf_nearest(node->text, all, g->axis_count))
            mf_diagnostics_note(g->d, "an axis beside 'case' is declared: axes: {fold: [0, 1, 2]}");
        return false;
    }
    if (def->axes >> index & 1)
        return mf__graph_error(g, node, "the axis '%s' is there twice", node->text);
    def->axes |= 1u << index;
    return true;
}

static bool read_each(mf_graph *g, stage_def *def)
{
    const yaml *each = mf_yaml_get(def->node, "each", NULL);
    bool good = true;
    if (!each)
        return true;
    if (each->kind == YAML_LIST)
        for (size_t i = 0; i < each->count; i++)
            good &= read_axis(g, def, each->items[i]);
    else
        good = read_axis(g, def, each);
    if (def->axes & CASE && !g->case_count && !g->cases_wrong) {
        good = mf__graph_error(g, each, "'%s' is per case, but the graph has no cases",
                               def->key->text);
        mf_diagnostics_note(g->d, "write, for example, cases: {glob: \"scans/*.nii.gz\"}");
    }
    if (mf__axes_space(g, def->axes) > MOST_NODES)
        good = mf__graph_error(g, each, "'%s' comes to more than %u nodes", def->key->text,
                               MOST_NODES);
    return good;
}

/* ---- where -------------------------------------------------------------------------------------
 */

static bool read_filter(mf_graph *g, const stage_def *def, filter *f, const yaml *key,
                        const yaml *node)
{
    mf_place place = mf_yaml_place(key);
    given v;
    f->node = node;
    f->varies = mf__mentions(g, node);
    if (!mf__find_subject(def, key->text, &place, &f->of))
        return false;
    return mf__resolve(g, node, &(here){def, NULL, false}, &v);
}

/* Whether a combination has one of the filter's values; false in *good after an error. */
static bool passes(mf_graph *g, const stage_def *def, const filter *f, const uint32_t *at,
                   bool *good)
{
    const char *text = mf__subject_text(g, &f->of, at);
    const char *name = f->of.column ? f->of.column : g->axes[f->of.axis].name;
    given v;
    if (!text)
        return false;
    if (!mf__resolve(g, f->node, &(here){def, at, false}, &v)) {
        mf__note_at(g, def->axes, at);
        return *good = false;
    }
    for (size_t i = 0; i < (v.list ? v.count : 1); i++) {
        const char *value = v.list ? v.texts[i] : v.text;
        if (!mf__check_comparison(g, f->node, name, text, EQUAL, value)) {
            mf__note_at(g, def->axes, at);
            return *good = false;
        }
        if (mf__compare_values(name, text, EQUAL, value))
            return true;
    }
    return false;
}

/* For each axis the values that the filters on it alone leave. */
static bool *kept_values(mf_graph *g, const stage_def *def, uint32_t index, bool *good)
{
    uint32_t at[MOST_AXES] = {0}, count = g->axes[index].count;
    bool *kept = mf_arena_alloc(g->arena, count, sizeof *kept);
    for (uint32_t i = 0; i < count && *good; i++) {
        at[index] = i;
        kept[i] = true;
        for (size_t k = 0; k < def->filter_count && kept[i]; k++)
            if (def->filters[k].of.axis == index && !(def->filters[k].varies & ~(1u << index)))
                kept[i] = passes(g, def, &def->filters[k], at, good);
    }
    return kept;
}

/* The combinations that are left, in order. Filters that look across axes are asked for each. */
static bool apply_filters(mf_graph *g, stage_def *def, const yaml *where)
{
    uint32_t space = (uint32_t)mf__axes_space(g, def->axes), at[MOST_AXES] = {0};
    bool *kept[MOST_AXES] = {0}, good = true;
    size_t room = 0;
    uint32_t *codes = NULL;
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (def->axes >> i & 1)
            kept[i] = kept_values(g, def, i, &good);
    for (uint32_t code = 0; code < space && good; code++) {
        bool pass = true;
        mf__axes_at(g, def->axes, code, at);
        for (uint32_t i = 0; i < g->axis_count && pass; i++)
            pass = !kept[i] || kept[i][at[i]];
        for (size_t k = 0; k < def->filter_count && pass; k++)
            if (def->filters[k].varies & ~(1u << def->filters[k].of.axis))
                pass = passes(g, def, &def->filters[k], at, &good);
        if (!pass)
            continue;
        codes = mf_grow(codes, &room, def->count + 1, sizeof *codes);
        codes[def->count++] = code;
    }
    def->codes = mf_arena_alloc(g->arena, def->count, sizeof *codes);
    if (def->count)
        memcpy(def->codes, codes, def->count * sizeof *codes);
    free(codes);
    if (def->count || !good || g->cases_wrong)
        return good;
    if (def->axes != CASE)
        return mf__graph_error(g, where, "this leaves nothing of '%s'", def->key->text);
    return mf__graph_error(g, where, "this leaves none of the %zu case%s for '%s'", g->case_count,
                           g->case_count == 1 ? "" : "s", def->key->text);
}

static bool read_where(mf_graph *g, stage_def *def)
{
    yaml *key;
    const yaml *where = mf_yaml_get(def->node, "where", &key);
    bool good = true;
    def->count = (uint32_t)mf__axes_space(g, def->axes);
    if (!where)
        return true;
    def->count = 0;
    if (where->kind != YAML_MAP)
        return mf__graph_error(g, where,
                               "'where' takes columns and their values, as in {set: train}");
    if (!def->axes)
        return mf__graph_error(g, key, "'where' chooses cases, but '%s' has no 'each: case'",
                               def->key->text);
    def->filters = mf_arena_alloc(g->arena, where->count, sizeof *def->filters);
    for (size_t i = 0; i < where->count; i++)
        good &= read_filter(g, def, &def->filters[def->filter_count++], where->items[2 * i],
                            where->items[2 * i + 1]);
    return good && apply_filters(g, def, where);
}

/* ---- skip_failed -------------------------------------------------------------------------------
 */

static bool read_skip(mf_graph *g, stage_def *def)
{
    const yaml *node = mf_yaml_get(def->node, "skip_failed", NULL);
    given v;
    if (!node)
        return true;
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    def->skip_failed = !v.list && !strcmp(v.text, "true");
    return def->skip_failed || (!v.list && !strcmp(v.text, "false")) ||
           mf__graph_error(g, node, "'skip_failed' is true or false");
}

/* ---- stages ------------------------------------------------------------------------------------
 */

static bool read_stage(mf_graph *g, stage_def *def)
{
    bool good = true;
    if (def->node->kind != YAML_MAP)
        return mf__graph_error(g, def->node, "a stage has the keys use, each, where, in, with");
    good = read_use(g, def);
    for (size_t i = 0; i < def->node->count; i++) {
        const yaml *key = def->node->items[2 * i];
        if (one_of(key->text, stage_keys, COUNT(stage_keys)))
            continue;
        good = false;
        if (mf__graph_misplaced(g, def, key, "use"))
            continue;
        if (one_of(key->text, stage_later, COUNT(stage_later)))
            mf__graph_error(g, key, "'%s' is not supported yet in this version", key->text);
        else
            mf__graph_unknown(g, key, "a stage has no key", stage_keys, COUNT(stage_keys));
    }
    good &= mf__read_limits(g, def);
    good &= read_skip(g, def);
    good &= read_each(g, def) && read_where(g, def);
    def->with = mf_yaml_get(def->node, "with", NULL);
    return good;
}

static const char *prefixed(mf_graph *g, const char *label)
{
    return *g->prefix ? mf_arena_print(g->arena, "%s%s", g->prefix, label) : label;
}

/* In "a.b", a is an included file or a stage, never both. */
static bool check_label(mf_graph *g, const yaml *key)
{
    if (!mf__is_name(key->text))
        return mf__graph_error(
            g, key, "'%s' is not a valid name of a stage of a graph: letters, digits, _ and -",
            key->text);
    for (size_t i = 0; i < g->include_count; i++)
        if (!strcmp(g->includes[i].key->text, key->text)) {
            mf__graph_error(g, key, "'%s' is the name of an included file already", key->text);
            mf_diagnostics_note(g->d, "included in line %d", g->includes[i].key->line);
            return false;
        }
    return true;
}

bool mf__read_stages(mf_graph *g)
{
    const yaml *map = mf_yaml_get(g->root, "stages", NULL);
    bool good = true;
    if (!map || mf_yaml_empty(map))
        return mf__graph_error(g, map ? map : g->root, "the graph has no stages");
    if (map->kind != YAML_MAP || !map->count)
        return mf__graph_error(g, map, "'stages' takes names, each with the stage that it uses");
    g->defs = mf_arena_alloc(g->arena, map->count, sizeof *g->defs);
    for (size_t i = 0; i < map->count; i++) {
        stage_def *def = &g->defs[g->def_count];
        *def = (stage_def){.graph = g,
                           .label = prefixed(g, map->items[2 * i]->text),
                           .key = map->items[2 * i],
                           .node = map->items[2 * i + 1]};
        good &= check_label(g, def->key);
        mf__names_add(&g->labels, def->key->text, (uint32_t)g->def_count++);
    }
    for (size_t i = 0; i < g->def_count; i++)
        good &= read_stage(g, &g->defs[i]);
    return good;
}
