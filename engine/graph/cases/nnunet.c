/* nnunet.c - the source `nnunet`: a raw data set of nnU-Net v2.
 *
 *   dataset.json               channel_names, labels, numTraining, file_ending
 *   imagesTr/NAME_0000.nii.gz  a file for each channel
 *   labelsTr/NAME.nii.gz
 *   imagesTs, labelsTs         of the test set; either may be missing
 *
 * (nnU-Net's documentation/dataset_format.md.) Where dataset.json lists files under `dataset`,
 * those are the training cases. */
#include "graph/cases/cases.h"
#include "graph/data/report.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_JSON ((size_t)64 << 20)
#define MOST_CHANNELS 100

typedef struct dataset {
    mf_graph *g;
    const yaml *node, *json;
    const char *folder, *ending;
    size_t channels;
    const extras *e;
    rows *r;
} dataset;

static bool no_file(const dataset *d, const yaml *node, const char *what, const char *path)
{
    return mf__graph_error(d->g, node, "%s: no file '%s'", what, path);
}

/* ---- dataset.json ------------------------------------------------------------------------------
 */

static bool check_json(dataset *d)
{
    const yaml *json = d->json, *channels = mf_yaml_get(json, "channel_names", NULL),
               *ending = mf_yaml_get(json, "file_ending", NULL);
    if (!channels && mf_yaml_get(json, "modality", NULL))
        return mf__graph_error(d->g, json,
                               "this is a data set of nnU-Net v1 or of the Medical Segmentation "
                               "Decathlon; v2's has channel_names and file_ending");
    if (!channels || channels->kind != YAML_MAP || !channels->count ||
        channels->count > MOST_CHANNELS)
        return mf__graph_error(d->g, channels ? channels : json,
                               "'channel_names' is to name the channels, as in {\"0\": \"CT\"}");
    if (!ending || ending->kind != YAML_SCALAR || *ending->text != '.')
        return mf__graph_error(d->g, ending ? ending : json,
                               "'file_ending' is to be a suffix, as in \".nii.gz\"");
    d->channels = channels->count;
    d->ending = ending->text;
    for (size_t i = 0; i < d->channels; i++) {
        char *number = mf_arena_print(d->g->arena, "%zu", i);
        if (!mf_yaml_get(channels, number, NULL))
            return mf__graph_error(d->g, channels, "channel %zu is missing", i);
    }
    return true;
}

static bool read_json(dataset *d)
{
    yaml_source *s;
    char *path = mf_arena_print(d->g->arena, "%s/dataset.json", d->folder);
    mf_status error = mf__source_read(d->g->arena, path, LARGEST_JSON, &s);
    if (error)
        return mf__graph_status(d->g, d->node, NULL, error);
    s->from = d->g->source->from;
    d->json = mf_yaml_read(d->g->arena, s, d->g->d);
    if (!d->json)
        return false;
    if (d->json->kind != YAML_MAP)
        return mf__graph_error(d->g, d->json, "dataset.json is to be an object");
    return check_json(d);
}

/* ---- cases -------------------------------------------------------------------------------------
 */

static row *add_case(dataset *d, const yaml *node, const char *id, const char *set,
                     const char *const *images, const char *label)
{
    mf_place place = mf_yaml_place(node);
    row *c = mf__new_row(d->g, d->r, &place, d->node->source->base, d->channels + 3, d->e);
    c->from = images[0];
    mf__put(c, "path", images[0]);
    for (size_t i = 0; i < d->channels; i++)
        mf__put(c, mf_arena_print(d->g->arena, "channel%zu", i), images[i]);
    if (label)
        mf__put(c, "label", label);
    mf__put(c, "set", set);
    mf__finish_row(d->g, c, d->e, id);
    return c;
}

/* "NAME_0000.nii.gz": the length of NAME; 0 when it is no such name. */
static size_t name_length(const dataset *d, const char *file)
{
    size_t length = strlen(file), ending = strlen(d->ending);
    if (length < ending + 6 || strcmp(file + length - ending, d->ending))
        return 0;
    const char *number = file + length - ending - 5;
    return *number == '_' && strspn(number + 1, "0123456789") == 4 ? (size_t)(number - file) : 0;
}

static bool is_first(const dataset *d, const char *file)
{
    size_t length = name_length(d, file);
    return length && !strncmp(file + length, "_0000", 5);
}

static bool add_scan(dataset *d, const char *images, const char *labels, const char *file,
                     const char *set, bool must_label)
{
    mf_arena *arena = d->g->arena;
    const char *name = mf_arena_copy_n(arena, file, name_length(d, file));
    const char **paths = mf_arena_alloc(arena, d->channels, sizeof *paths);
    for (size_t i = 0; i < d->channels; i++) {
        paths[i] = mf_arena_print(arena, "%s/%s/%s_%04zu%s", d->folder, images, name, i, d->ending);
        if (access(paths[i], F_OK))
            return no_file(d, d->node, name, paths[i]);
    }
    const char *label = mf_arena_print(arena, "%s/%s/%s%s", d->folder, labels, name, d->ending);
    bool there = !access(label, F_OK);
    if (must_label && !there)
        return no_file(d, d->node, name, label);
    add_case(d, d->node, name, set, paths, there ? label : NULL);
    return true;
}

/* One of the two sets; *count is how many cases it has. */
static bool read_set(dataset *d, const char *suffix, const char *set, bool must, size_t *cases)
{
    const char *images = mf_arena_print(d->g->arena, "images%s", suffix);
    const char *labels = mf_arena_print(d->g->arena, "labels%s", suffix);
    struct dirent **entries;
    char *folder = mf_arena_print(d->g->arena, "%s/%s", d->folder, images);
    int count = scandir(folder, &entries, NULL, alphasort);
    bool good = true;
    *cases = 0;
    if (count < 0 && !must && errno == ENOENT)
        return true;
    if (count < 0)
        return mf__graph_error(d->g, d->node, "cannot read the folder %s: %s", folder,
                               strerror(errno));
    for (int i = 0; i < count; i++) {
        const char *file = entries[i]->d_name;
        size_t length = strlen(file), ending = strlen(d->ending);
        bool scan = length > ending && !strcmp(file + length - ending, d->ending) && *file != '.';
        if (good && scan && !name_length(d, file))
            good = mf__graph_error(d->g, d->node,
                                   "'%s' in %s has no channel number, as in %.*s_0000%s", file,
                                   images, (int)(length - ending), file, d->ending);
        else if (good && scan && is_first(d, file)) {
            good = add_scan(d, images, labels, file, set, must);
            ++*cases;
        }
        free(entries[i]);
    }
    free(entries);
    return good;
}

/* `dataset`: {NAME: {images: [...], label: ...}}, paths from the data set's folder. */
static bool read_listed(dataset *d, const yaml *map, size_t *cases)
{
    mf_arena *arena = d->g->arena;
    if (map->kind != YAML_MAP)
        return mf__graph_error(d->g, map, "'dataset' is to be an object of cases");
    for (size_t i = 0; i < map->count; i++) {
        const yaml *key = map->items[2 * i], *one = map->items[2 * i + 1];
        const yaml *images = one->kind == YAML_MAP ? mf_yaml_get(one, "images", NULL) : NULL;
        const yaml *label = one->kind == YAML_MAP ? mf_yaml_get(one, "label", NULL) : NULL;
        const char **paths = mf_arena_alloc(arena, d->channels + 1, sizeof *paths);
        if (!images || images->kind != YAML_LIST || images->count != d->channels || !label ||
            label->kind != YAML_SCALAR)
            return mf__graph_error(d->g, key,
                                   "'%s' is to have 'images', one for each of %zu channels, "
                                   "and a 'label'",
                                   key->text, d->channels);
        for (size_t k = 0; k <= d->channels; k++) {
            const yaml *file = k < d->channels ? images->items[k] : label;
            if (file->kind != YAML_SCALAR)
                return mf__graph_error(d->g, file, "a file's path is wanted");
            paths[k] = *file->text == '/' ? file->text
                                          : mf_arena_print(arena, "%s/%s", d->folder, file->text);
            if (access(paths[k], F_OK))
                return no_file(d, file, key->text, paths[k]);
        }
        add_case(d, key, key->text, "train", paths, paths[d->channels]);
        ++*cases;
    }
    return true;
}

static void check_count(const dataset *d, size_t cases)
{
    const yaml *number = mf_yaml_get(d->json, "numTraining", NULL);
    if (!number || number->kind != YAML_SCALAR || strtoull(number->text, NULL, 10) == cases)
        return;
    mf_place place = mf_yaml_place(number);
    mf_diagnostics_warning(d->g->d, &place, "%zu training cases are there, not %s", cases,
                           number->text);
}

bool mf__read_nnunet(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    dataset d = {.g = g, .node = node, .e = e, .r = r};
    size_t cases = 0, test;
    if (!mf__source_folder(g, node, "nnunet", &d.folder) || !read_json(&d))
        return false;
    const yaml *listed = mf_yaml_get(d.json, "dataset", NULL);
    bool good =
        listed ? read_listed(&d, listed, &cases) : read_set(&d, "Tr", "train", true, &cases);
    if (good)
        check_count(&d, cases);
    return good && read_set(&d, "Ts", "test", false, &test);
}
