/* get_nnunet.c - get --nnunet: results of cases as a raw data set of nnU-Net v2.
 *
 *   imagesTr/CASE_0000.nii.gz   a volume of each stage that is named, a channel each, in that order
 *   labelsTr/CASE.nii.gz        the label map
 *   imagesTs/CASE_0000.nii.gz   of a case without a label map
 *   dataset.json                channels, names of labels, number of training cases
 *
 * (nnU-Net's documentation/dataset_format.md.) Labels are to be 1, 2, 3, ... without gaps. */
#include "get.h"
#include "run/artifact/check.h"
#include "run/output/partial.h"

#include <massflow/names.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_CHANNELS 100
#define MOST_LABEL 65535

/* What is known of a data set before it is written. */
typedef struct dataset {
    workspace *w;
    get_item *items;
    size_t count;
    uint32_t channels[MOST_CHANNELS]; /* groups of nodes */
    size_t channel_count;
    const mf_node *labels; /* the first of them; NULL: none */
    const char *suffix;    /* with its dot */
} dataset;

static const char *type_of(const get_item *x)
{
    return x->node->node->stage->out[x->port].type;
}

static bool is_labels(const get_item *x)
{
    return !strncmp(type_of(x), "labels", 6);
}

static int channel_of(const dataset *d, const get_item *x)
{
    for (size_t i = 0; i < d->channel_count; i++)
        if (d->channels[i] == x->node->node->group)
            return (int)i;
    return -1;
}

/* Which stages are channels, and which gives the labels. */
static int sort_out(dataset *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const get_item *x = &d->items[i];
        const mf_node *n = x->node->node;
        if (!n->of_case)
            return command_refuse("--nnunet: %s is of no case", n->name);
        if (is_labels(x)) {
            if (d->labels && d->labels->group != n->group)
                return command_refuse("--nnunet: both %s and %s are label maps; name one stage",
                                      d->labels->name, n->name);
            d->labels = n;
        } else if (strncmp(type_of(x), "volume", 6) != 0) {
            return command_refuse("--nnunet: %s is of type %s; volumes and labels can be written",
                                  n->name, type_of(x));
        } else if (channel_of(d, x) < 0) {
            if (d->channel_count == MOST_CHANNELS)
                return command_refuse("--nnunet: more than %d channels", MOST_CHANNELS);
            d->channels[d->channel_count++] = n->group;
        }
    }
    return d->channel_count ? EXIT_DONE
                            : command_refuse("--nnunet: no volume is named; the scans are the "
                                             "images of the data set");
}

static bool has_labels(const dataset *d, const mf_case *of_case)
{
    for (size_t i = 0; i < d->count; i++)
        if (is_labels(&d->items[i]) && d->items[i].node->node->of_case == of_case)
            return true;
    return false;
}

/* A case's id as a name of a file. */
static char *plain_id(const char *id)
{
    char *made = strdup(id);
    for (char *c = made; made && *c; c++)
        if ((unsigned char)*c <= ' ' || strchr("/\\:*?\"<>|", *c))
            *c = '_';
    return made;
}

static char *path_of(const dataset *d, const char *folder, const get_item *x)
{
    const mf_case *c = x->node->node->of_case;
    char *id = plain_id(c->id), *path = NULL;
    int made = -1;
    if (id && is_labels(x))
        made = asprintf(&path, "%s/labelsTr/%s%s", folder, id, d->suffix);
    else if (id)
        made = asprintf(&path, "%s/images%s/%s_%04d%s", folder, has_labels(d, c) ? "Tr" : "Ts", id,
                        channel_of(d, x), d->suffix);
    free(id);
    return made < 0 ? NULL : path;
}

static int set_paths(dataset *d, const char *folder)
{
    for (size_t i = 0; i < d->count; i++) {
        get_item *x = &d->items[i];
        char *path = path_of(d, folder, x);
        if (!path)
            return command_fail(mf_no_memory(0, "a list of files"), EXIT_FAILED);
        free(x->path);
        x->path = path;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(d->items[k].path, path))
                return command_refuse("%s and %s would both be written to %s; name one for each "
                                      "case",
                                      d->items[k].node->node->name, x->node->node->name, path);
    }
    return EXIT_DONE;
}

/* Each case has all channels. */
static int check_whole(const dataset *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const mf_node *n = d->items[i].node->node;
        size_t channels = 0;
        for (size_t k = 0; k < d->count; k++)
            channels += d->items[k].node->node->of_case == n->of_case && !is_labels(&d->items[k]);
        if (channels != d->channel_count)
            return command_refuse("--nnunet: case %s has %zu of %zu images", n->of_case->id,
                                  channels, d->channel_count);
    }
    return EXIT_DONE;
}

/* The grid that a result is written on. */
static mf_status file_grid(const dataset *d, const get_item *x, mf_grid *grid)
{
    mf_artifact *a;
    MF_TRY(mf_open_artifact(d->w->store, d->w->registry, x->node->outputs[x->port].id, &a));
    mf_status status = mf_artifact_scan_grid(a, grid) ? MF_OK : mf_artifact_grid(a, grid);
    mf_artifact_unref(a);
    return status;
}

/* The files of a case have one grid. */
static mf_status check_grids(const dataset *d)
{
    mf_grid *grids = calloc(d->count + 1, sizeof *grids);
    mf_status status = grids ? MF_OK : mf_no_memory(0, "grids");
    for (size_t i = 0; i < d->count && !status; i++) {
        const mf_node *n = d->items[i].node->node;
        status = file_grid(d, &d->items[i], &grids[i]);
        for (size_t k = 0; k < i && !status; k++) {
            const mf_node *other = d->items[k].node->node;
            if (other->of_case == n->of_case && !mf_grid_equal(&grids[k], &grids[i], 1e-2))
                status = mf_hint(mf_fail(MF_INVALID,
                                         "%s and %s would be written on different grids; nnU-Net "
                                         "wants one for the files of a case",
                                         other->name, n->name),
                                 "put one on the grid of the other with labels.resample or "
                                 "volume.resample");
        }
    }
    free(grids);
    return status;
}

/* What the labels of a data set are called. */
typedef struct named_labels {
    mf_names names;
    mf_label_sets sets; /* regions; none: each label is for itself */
} named_labels;

static void named_clear(named_labels *l)
{
    mf_names_clear(&l->names);
    mf_label_sets_clear(&l->sets);
}

/* ---- labels ---------------------------------------------------------------------------------- */

static mf_status note_values(const mf_artifact *a, bool *there)
{
    mf_array *voxels, *wide;
    MF_TRY(mf_artifact_array(a, "voxels", &voxels));
    mf_status status = mf_array_convert(voxels, MF_I32, &wide);
    mf_array_unref(voxels);
    MF_TRY(status);
    const int32_t *v = wide->data;
    for (int64_t i = 0; i < mf_array_count(wide) && !status; i++) {
        if (v[i] < 0 || v[i] > MOST_LABEL)
            status = mf_fail(MF_UNSUPPORTED, "label %d; nnU-Net's are 0, 1, 2, ...", v[i]);
        else
            there[v[i]] = true;
    }
    mf_array_unref(wide);
    return status;
}

static mf_status join_sets(mf_label_sets *sets, const mf_artifact *a)
{
    mf_label_sets own;
    MF_TRY(mf_artifact_label_sets(a, &own));
    mf_status status = MF_OK;
    for (size_t i = 0; i < own.count && !status; i++)
        status = mf_label_sets_put(sets, own.v[i].name, own.v[i].values, own.v[i].count);
    mf_label_sets_clear(&own);
    return status;
}

static mf_status add_map(const dataset *d, const get_item *x, const get_item *first,
                         named_labels *l, bool *there)
{
    mf_artifact *a;
    mf_names own = {0};
    MF_TRY(mf_open_artifact(d->w->store, d->w->registry, x->node->outputs[x->port].id, &a));
    mf_status status = mf_artifact_names(a, &own);
    if (!status)
        status = mf_within(join_sets(&l->sets, a), "%s", x->node->node->name);
    if (!status)
        status = mf_names_join(&l->names, &own, first->node->node->name, x->node->node->name);
    if (!status)
        status = mf_within(note_values(a, there), "%s", x->node->node->name);
    mf_names_clear(&own);
    mf_artifact_unref(a);
    return status;
}

/* Ascending without a gap, each by a name of its own. */
static mf_status complete(mf_names *names, const bool *there)
{
    char text[32];
    int64_t most = names->count ? names->v[names->count - 1].value : 0;
    for (int64_t value = 1; value <= MOST_LABEL; value++)
        most = there[value] && value > most ? value : most;
    for (int64_t value = 1; value <= most; value++) {
        const mf_name *name = value > MOST_LABEL ? NULL : mf_names_find(names, value);
        if (value > MOST_LABEL || (!name && !there[value]))
            return mf_hint(mf_fail(MF_INVALID,
                                   "label %lld is missing; nnU-Net's labels are 1, 2, 3, ... "
                                   "without gaps",
                                   (long long)value),
                           "number them anew with labels.remap");
        snprintf(text, sizeof text, "label %lld", (long long)value);
        if (!name)
            MF_TRY(mf_names_put(names, value, text, MF_NO_COLOUR));
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!strcmp(names->v[i].name, "background"))
            return mf_hint(mf_fail(MF_INVALID, "label %lld is called 'background', as 0 is",
                                   (long long)names->v[i].value),
                           "name it otherwise, or make it 0 with labels.remap");
        for (size_t k = 0; k < i; k++)
            if (!strcmp(names->v[i].name, names->v[k].name))
                return mf_fail(MF_INVALID, "labels %lld and %lld are both called '%s'",
                               (long long)names->v[k].value, (long long)names->v[i].value,
                               names->v[i].name);
    }
    return MF_OK;
}

static bool set_holds(const mf_label_set *set, int64_t value)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->values[i] == value)
            return true;
    return false;
}

/* The value of a region in label maps that are made of regions: nnU-Net paints them one over the
 * other in their order, so it is one that no later region has. 0: there is none. */
static int64_t class_of(const mf_label_sets *sets, size_t i)
{
    for (size_t k = 0; k < sets->v[i].count; k++) {
        bool later = false;
        for (size_t j = i + 1; j < sets->count && !later; j++)
            later = set_holds(&sets->v[j], sets->v[i].values[k]);
        if (!later)
            return sets->v[i].values[k];
    }
    return 0;
}

/* Each label lies in a region, and each region can be painted. */
static mf_status check_regions(const mf_label_sets *sets, const mf_names *names)
{
    for (size_t i = 0; i < names->count && sets->count; i++) {
        bool covered = false;
        for (size_t k = 0; k < sets->count && !covered; k++)
            covered = set_holds(&sets->v[k], names->v[i].value);
        if (!covered)
            return mf_hint(mf_fail(MF_INVALID,
                                   "label %lld lies in no region, and the data set has regions",
                                   (long long)names->v[i].value),
                           "labels.remap makes labels without regions");
    }
    for (size_t i = 0; i < sets->count; i++) {
        if (!strcmp(sets->v[i].name, "background"))
            return mf_fail(MF_INVALID, "a set of labels is called 'background', as 0 is");
        if (!class_of(sets, i))
            return mf_hint(mf_fail(MF_INVALID,
                                   "all labels of the region '%s' lie in regions behind it, too, "
                                   "which would be painted over it",
                                   sets->v[i].name),
                           "labels.remap makes labels without regions");
    }
    return MF_OK;
}

static mf_status find_labels(const dataset *d, named_labels *l)
{
    const get_item *first = NULL;
    bool *there = calloc(MOST_LABEL + 1, sizeof *there);
    mf_status status = there ? MF_OK : mf_no_memory(0, "labels");
    for (size_t i = 0; i < d->count && !status; i++) {
        if (!is_labels(&d->items[i]))
            continue;
        first = first ? first : &d->items[i];
        status = add_map(d, &d->items[i], first, l, there);
    }
    if (!status)
        status = complete(&l->names, there);
    if (!status)
        status = check_regions(&l->sets, &l->names);
    free(there);
    return status;
}

/* ---- dataset.json ---------------------------------------------------------------------------- */

/* As nnU-Net knows it: CT has a normalization of its own, "noNorm" is left as it is. */
static mf_status channel_name(const dataset *d, size_t channel, char name[64])
{
    for (size_t i = 0; i < d->count; i++) {
        const get_item *x = &d->items[i];
        mf_artifact *a;
        if (is_labels(x) || channel_of(d, x) != (int)channel)
            continue;
        MF_TRY(mf_open_artifact(d->w->store, d->w->registry, x->node->outputs[x->port].id, &a));
        const char *modality = mf_artifact_text(a, "modality");
        snprintf(name, 64, "%.60s",
                 mf_artifact_text(a, "intensities") ? "noNorm"
                 : modality && *modality            ? modality
                                                    : x->node->node->label);
        mf_artifact_unref(a);
        return MF_OK;
    }
    return MF_OK;
}

/* The entries `labels`, and with regions their order. */
static void put_labels(const named_labels *l, json_object *root)
{
    json_object *labels = json_object_new_object(), *order = NULL;
    json_object_object_add(root, "labels", labels);
    json_object_object_add(labels, "background", json_object_new_int(0));
    for (size_t i = 0; i < l->names.count && !l->sets.count; i++)
        json_object_object_add(labels, l->names.v[i].name,
                               json_object_new_int64(l->names.v[i].value));
    if (!l->sets.count)
        return;
    order = json_object_new_array();
    for (size_t i = 0; i < l->sets.count; i++) {
        const mf_label_set *set = &l->sets.v[i];
        json_object *values =
            set->count > 1 ? json_object_new_array() : json_object_new_int64(set->values[0]);
        for (size_t k = 0; k < set->count && set->count > 1; k++)
            json_object_array_add(values, json_object_new_int64(set->values[k]));
        json_object_object_add(labels, set->name, values);
        json_object_array_add(order, json_object_new_int64(class_of(&l->sets, i)));
    }
    json_object_object_add(root, "regions_class_order", order);
}

static mf_status make_json(const dataset *d, const named_labels *l, json_object *root)
{
    json_object *channels = json_object_new_object();
    size_t training = 0;
    char key[24], name[64];
    mf_status status = MF_OK;
    json_object_object_add(root, "channel_names", channels);
    for (size_t i = 0; i < d->channel_count && !status; i++) {
        snprintf(key, sizeof key, "%zu", i);
        status = channel_name(d, i, name);
        json_object_object_add(channels, key, json_object_new_string(name));
    }
    put_labels(l, root);
    for (size_t i = 0; i < d->count; i++)
        training += is_labels(&d->items[i]);
    json_object_object_add(root, "numTraining", json_object_new_int64((int64_t)training));
    json_object_object_add(root, "file_ending", json_object_new_string(d->suffix));
    return status;
}

static mf_status write_json(const dataset *d, const named_labels *l, const char *path,
                            const mf_output_rule *rule)
{
    json_object *root = json_object_new_object();
    mf_output *output = NULL;
    mf_status status = make_json(d, l, root);
    if (!status)
        status = mf_output_begin(path, rule, NULL, &output);
    if (!status && json_object_to_file_ext(mf_output_file(output), root, JSON_C_TO_STRING_PRETTY))
        status = mf_fail(MF_IO, "%s: cannot be written", path);
    json_object_put(root);
    if (!status)
        return mf_output_end(output, NULL);
    mf_output_drop(output);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

static const char *suffix_of(const args *a)
{
    const char *given = args_value(a, "suffix");
    static const char *const known[] = {".nii.gz", ".nii", ".nrrd", ".mha"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!given || !strcmp(given + (*given == '.'), known[i] + 1))
            return known[i];
    return NULL;
}

int nnunet_lay_out(const args *a, workspace *w, const char *folder, get_item *items, size_t count)
{
    dataset d = {.w = w, .items = items, .count = count, .suffix = suffix_of(a)};
    named_labels labels = {0};
    if (!d.suffix)
        return command_refuse("--nnunet: the suffix is nii.gz, nii, nrrd or mha");
    int code = sort_out(&d);
    if (!code)
        code = check_whole(&d);
    if (!code)
        code = set_paths(&d, folder);
    if (!code) { /* before anything is written */
        mf_status status = check_grids(&d);
        if (!status)
            status = find_labels(&d, &labels);
        code = status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
    }
    named_clear(&labels);
    return code;
}

int nnunet_folders(const char *folder, const get_item *items, size_t count)
{
    static const char *const names[] = {"imagesTr", "labelsTr", "imagesTs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path;
        bool used = false;
        if (asprintf(&path, "%s/%s", folder, names[i]) < 0)
            return command_fail(mf_no_memory(0, "a path"), EXIT_FAILED);
        for (size_t k = 0; k < count; k++)
            used = used || !strncmp(items[k].path, path, strlen(path));
        int code = used && mkdir(path, 0777) != 0 && errno != EEXIST
                       ? command_refuse("cannot make the folder '%s': %s", path, strerror(errno))
                       : EXIT_DONE;
        if (used && !code)
            for (size_t k = 0; k < count; k++)
                if (!strncmp(items[k].path, path, strlen(path))) {
                    mf_partials_sweep(items[k].path);
                    break;
                }
        free(path);
        if (code)
            return code;
    }
    return EXIT_DONE;
}

int nnunet_describe(const args *a, workspace *w, const char *folder, get_item *items, size_t count,
                    const mf_output_rule *rule)
{
    dataset d = {.w = w, .items = items, .count = count, .suffix = suffix_of(a)};
    named_labels labels = {0};
    char *path;
    int code = sort_out(&d);
    if (code)
        return code;
    if (asprintf(&path, "%s/dataset.json", folder) < 0)
        return command_fail(mf_no_memory(0, "a path"), EXIT_FAILED);
    mf_status status = find_labels(&d, &labels);
    if (!status)
        status = write_json(&d, &labels, path, rule);
    if (status)
        code = command_fail(status, EXIT_FAILED);
    else
        printf("%s\n", path);
    named_clear(&labels);
    free(path);
    return code;
}
