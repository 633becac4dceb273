/* labels_remap.c - stage labels.remap: other values for labels, and several made one. */
#include "derive.h"
#include "labels_remap.code.h"
#include "scan/voxels.h"
#include "volume_stages.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct remap_params {
    const char *map, *others, *names;
} remap_params;

static const mf_param params[] = {
    MF_FIELD_(MF_PARAM_TEXT, const char *, remap_params, map, NULL, 0, 0, "", NULL, MF_MAPPING,
              "What labels become: {OLD: NEW, ...}, OLD a value, a name or the name of a set of "
              "labels (a region of nnU-Net), NEW a value, as in "
              "{left kidney: 1, right kidney: 1, liver: 2}. 0 is background."),
    MF_CHOICE(remap_params, others, "keep", "keep|background|refuse",
              "Labels that `map` does not have. refuse: it is an error if there is one."),
    MF_NAMES(remap_params, names,
             "Names of the new values, as in {1: kidneys}. Without: a label that becomes another "
             "keeps its name; of several that become one, the names are joined."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("labels", "labels", "The label map."), MF_END};
static const mf_port outputs[] = {MF_PORT("labels", "labels", "The label map with its new values."),
                                  MF_END};

/* One old label and what it becomes. */
typedef struct change {
    int64_t from, to;
} change;

typedef struct changes {
    change *v; /* ascending by `from` once they are read */
    size_t count;
} changes;

static mf_status add_change(changes *c, int64_t from, int64_t to)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->v[i].from == from)
            return c->v[i].to == to
                       ? MF_OK
                       : mf_fail(MF_INVALID, "map: label %lld becomes %lld and %lld",
                                 (long long)from, (long long)c->v[i].to, (long long)to);
    change *more = mf_list_more(c->v, c->count, sizeof *more);
    if (!more)
        return mf_no_memory(0, "labels");
    c->v = more;
    c->v[c->count++] = (change){from, to};
    return MF_OK;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    for (char *end = text + strlen(text); end > text && strchr(" \t\r", end[-1]); end--)
        end[-1] = '\0';
    return text;
}

static bool whole(const char *text, int64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    *value = digits && digits < 11 ? strtoll(text, NULL, 10) : -1;
    return digits && !text[digits] && *value >= 0 && *value <= INT32_MAX;
}

/* "OLD=NEW". Without names (before anything runs) an old name is passed over. */
static mf_status parse_change(char *text, const mf_names *names, const mf_label_sets *sets,
                              changes *c)
{
    char *equals = strrchr(text, '=');
    mf_label label = {0};
    int64_t to, *value;
    size_t count;
    if (!equals || !whole(trim(equals + 1), &to))
        return mf_hint(mf_fail(MF_INVALID, "map: '%.80s' is no change of a label", text),
                       "as in {liver: 1, 5: 2}, or liver=1, 5=2");
    *equals = '\0';
    char *old = trim(text);
    if (!*old)
        return mf_fail(MF_INVALID, "map: a label has an empty name");
    if (!whole(old, &label.value))
        label.name = old;
    if (label.name && !names)
        return MF_OK;
    if (!label.name && !label.value)
        return mf_fail(MF_INVALID, "map: 0 is background, which stays");
    MF_TRY(mf_labels_values_of(&(mf_labels){&label, 1}, names ? names : &(mf_names){0},
                               sets ? sets : &(mf_label_sets){0}, "map", &value, &count));
    mf_status status = MF_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = add_change(c, value[i], to);
    free(value);
    return status;
}

static int by_from(const void *a, const void *b)
{
    int64_t x = ((const change *)a)->from, y = ((const change *)b)->from;
    return (x > y) - (x < y);
}

/* A line, or what stands between commas, for each. */
static mf_status parse_map(const char *text, const mf_names *names, const mf_label_sets *sets,
                           changes *c)
{
    char *copy = strdup(text), *rest = NULL;
    const char *ends = strchr(text, '\n') ? "\n" : ",";
    mf_status status = copy ? MF_OK : mf_no_memory(0, "labels");
    for (char *one = copy ? strtok_r(copy, ends, &rest) : NULL; one && !status;
         one = strtok_r(NULL, ends, &rest))
        if (*trim(one))
            status = parse_change(one, names, sets, c);
    free(copy);
    if (!status && c->count)
        qsort(c->v, c->count, sizeof *c->v, by_from);
    return status;
}

static mf_status check(const void *p)
{
    const remap_params *o = p;
    changes c = {0};
    mf_names names = {0};
    mf_status status = o->map[strspn(o->map, " \n,")] ? parse_map(o->map, NULL, NULL, &c)
                                                      : mf_fail(MF_INVALID, "map: is empty");
    if (!status)
        status = mf_within(mf_names_parse(o->names, &names), "names");
    mf_names_clear(&names);
    free(c.v);
    return status;
}

/* ---- voxels -----------------------------------------------------------------------------------
 */

static const change *find(const changes *c, int64_t label)
{
    const change key = {label, 0};
    return c->count ? bsearch(&key, c->v, c->count, sizeof *c->v, by_from) : NULL;
}

static const change *becomes(const changes *c, int64_t to)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->v[i].to == to)
            return &c->v[i];
    return NULL;
}

/* What a label becomes that `map` does not have. */
static mf_status other(const remap_params *o, const changes *c, int32_t label, int32_t *to)
{
    *to = strcmp(o->others, "background") ? label : 0;
    if (!strcmp(o->others, "refuse"))
        return mf_hint(mf_fail(MF_INVALID, "label %d is not in `map`", label),
                       "add it, or set others: keep or background");
    const change *clash = *to ? becomes(c, label) : NULL;
    if (clash)
        return mf_hint(
            mf_fail(MF_INVALID,
                    "label %d is kept, and label %lld becomes %d, too: they would be one", label,
                    (long long)clash->from, label),
            "name both in `map`, or set others: background");
    return MF_OK;
}

static mf_status change_voxels(const remap_params *o, const changes *c, const int32_t *from,
                               int32_t *to, int64_t n)
{
    int32_t last = 0, last_to = 0; /* neighbours are mostly alike */
    for (int64_t i = 0; i < n; i++) {
        if (from[i] != last) {
            const change *known = find(c, from[i]);
            last = from[i];
            last_to = known ? (int32_t)known->to : 0;
            if (!known && last)
                MF_TRY(other(o, c, last, &last_to));
        }
        to[i] = last_to;
    }
    return MF_OK;
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* Gives the new value the old one's name, or joins the two. */
static mf_status hand_on(mf_names *names, const mf_name *old, int64_t value)
{
    const mf_name *there = mf_names_find(names, value);
    char text[512];
    if (!value)
        return MF_OK;
    if (!there)
        return mf_names_put(names, value, old->name, old->colour);
    if (!strcmp(there->name, old->name))
        return MF_OK;
    snprintf(text, sizeof text, "%s and %s", there->name, old->name);
    return mf_hint(mf_names_put(names, value, text, there->colour),
                   "give the new label a name with the parameter names");
}

static mf_status new_names(const remap_params *o, const changes *c, const mf_names *old,
                           mf_names *made)
{
    mf_names given = {0};
    MF_TRY(mf_names_parse(o->names, &given));
    mf_status status = MF_OK;
    for (size_t i = 0; i < old->count && !status; i++) {
        const change *known = find(c, old->v[i].value);
        int64_t to = known ? known->to : !strcmp(o->others, "keep") ? old->v[i].value : 0;
        /* A name whose label no voxel has may stand where another label goes to now. */
        if (!known && becomes(c, to))
            to = 0;
        if (!mf_names_find(&given, to))
            status = hand_on(made, &old->v[i], to);
    }
    for (size_t i = 0; i < given.count && !status; i++)
        status = mf_names_put(made, given.v[i].value, given.v[i].name, given.v[i].colour);
    mf_names_clear(&given);
    return status;
}

/* ---- run --------------------------------------------------------------------------------------
 */

static mf_status remap(const remap_params *o, const changes *c, const mf_artifact *labels,
                       mf_array **made)
{
    mf_array *voxels, *wide;
    voxel_facts facts;
    MF_TRY(mf_artifact_array(labels, "voxels", &voxels));
    mf_status status = mf_array_convert(voxels, MF_I32, &wide);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = mf_array_new(MF_I32, 3, wide->shape, made);
    if (!status) {
        status = change_voxels(o, c, wide->data, (*made)->data, mf_array_count(wide));
        if (!status)
            status = voxels_measure(*made, &facts);
        if (!status)
            status = voxels_narrow(made, &facts);
        if (status) {
            mf_array_unref(*made);
            *made = NULL;
        }
    }
    mf_array_unref(wide);
    return status;
}

static mf_status publish(mf_task *t, const mf_artifact *labels, mf_array *voxels,
                         const mf_names *names)
{
    mf_artifact *made;
    mf_grid grid;
    MF_TRY(mf_artifact_grid(labels, &grid));
    MF_TRY(derive_artifact(labels, &grid, voxels, names, false, NULL, &made));
    return mf_out(t, "labels", made);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const remap_params *o = p;
    const mf_artifact *labels;
    mf_names old, names = {0};
    mf_label_sets sets;
    changes c = {0};
    mf_array *voxels = NULL;
    (void)session;
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_names(labels, &old));
    mf_status status = mf_artifact_label_sets(labels, &sets);
    if (!status)
        status = parse_map(o->map, &old, &sets, &c);
    if (!status)
        status = remap(o, &c, labels, &voxels);
    if (!status)
        status = new_names(o, &c, &old, &names);
    if (!status)
        status = publish(t, labels, voxels, &names);
    mf_array_unref(voxels);
    mf_names_clear(&old);
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    free(c.v);
    return status;
}

MF_STAGE(labels_remap, "labels.remap", 2, "Gives labels other values, and makes several one.",
         .help = "Values of the result are in the smallest integer type that holds them. For "
                 "nnU-Net, whose labels are 1, 2, 3 ... without gaps, and for merging left and "
                 "right.",
         .params = params, .params_size = sizeof(remap_params), .in = inputs, .out = outputs,
         .check = check, .run = run);
