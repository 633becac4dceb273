/* labels_merge.c - stage labels.merge: one label map from a folder with a mask for each class. */
#include "labels_merge.code.h"
#include "load.h"
#include "volume_stages.h"

#include <massflow/file.h>
#include <massflow/memory.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 65535, MOST_NAME = 255 };

typedef struct merge_params {
    const char *folder, *classes;
} merge_params;

static const mf_param params[] = {
    MF_PATH(merge_params, folder, NULL,
            "Folder with a mask for each class: NAME.nii.gz or NAME.nii, above 0 inside."),
    MF_PATH(merge_params, classes, NULL,
            "Text file with a class name on each line: the first has the label 1."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("like", "volume", "Scan that the masks belong to, from volume.load or volume.crop."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels",
            "Label map. Where masks overlap, the last in order of file name "
            "counts."),
    MF_END};

/* Names of classes; number i has the label i + 1. */
typedef struct classes {
    char **name;
    int64_t count;
} classes;

static void classes_clear(classes *c)
{
    for (int64_t i = 0; i < c->count; i++)
        free(c->name[i]);
    free(c->name);
}

static mf_status add_class(const char *path, classes *c, const char *name)
{
    char **more = mf_list_more(c->name, (size_t)c->count, sizeof *more);
    if (more)
        c->name = more;
    if (!more || !(more[c->count] = strdup(name)))
        return mf_no_memory(0, "names of classes");
    c->count++;
    for (int64_t i = 0; i + 1 < c->count; i++)
        if (!strcmp(c->name[i], name))
            return mf_fail(MF_INVALID, "%s: line %lld: the class %s stands there twice", path,
                           (long long)c->count, name);
    return MF_OK;
}

static mf_status read_classes(const char *path, classes *c)
{
    FILE *file;
    int64_t size;
    char line[MOST_NAME + 3];
    mf_status status = MF_OK;
    MF_TRY(mf_file_open(path, &file, &size));
    while (!status && fgets(line, sizeof line, file)) {
        size_t length = strcspn(line, "\r\n");
        if (!line[length] && !feof(file))
            status = mf_fail(MF_INVALID, "%s: line %lld has more than %d bytes", path,
                             (long long)c->count + 1, MOST_NAME);
        line[length] = '\0';
        if (!status && (!length || strchr(line, '/')))
            status = mf_fail(MF_INVALID, "%s: line %lld is no name of a class", path,
                             (long long)c->count + 1);
        if (!status && c->count == MOST_CLASSES)
            status = mf_fail(MF_UNSUPPORTED, "%s: more than %d classes", path, MOST_CLASSES);
        if (!status)
            status = add_class(path, c, line);
    }
    fclose(file);
    if (!status && !c->count)
        status = mf_fail(MF_INVALID, "%s: names no class", path);
    return status;
}

/* The label of a file; 0 where it is none of a class. */
static int64_t label_of(const classes *c, const char *file)
{
    for (int64_t i = 0; i < c->count; i++) {
        size_t n = strlen(c->name[i]);
        if (!strncmp(file, c->name[i], n) &&
            (!strcmp(file + n, ".nii.gz") || !strcmp(file + n, ".nii")))
            return i + 1;
    }
    return 0;
}

/* ---- merging --------------------------------------------------------------------------------- */

typedef struct merge {
    mf_task *task;
    const merge_params *params;
    const mf_artifact *like;
    classes classes;
    mf_array *to;
    int64_t merged, other;
} merge;

/* By the list, not by the masks that a case has: all cases of a data set have one type. */
static mf_dtype dtype_for(const classes *c)
{
    return c->count <= UINT8_MAX ? MF_U8 : MF_U16;
}

/* `label` where the mask is above 0. */
static void fill(const mf_array *mask, int64_t label, mf_array *to)
{
    const int32_t *from = mask->data;
    for (int64_t i = 0, n = mf_array_count(to); i < n; i++) {
        if (from[i] <= 0)
            continue;
        if (to->dtype == MF_U8)
            ((uint8_t *)to->data)[i] = (uint8_t)label;
        else
            ((uint16_t *)to->data)[i] = (uint16_t)label;
    }
}

static mf_status add_mask(merge *m, const char *path, int64_t label)
{
    const labels_options options = {.read = {-1, NULL, volume_stop, m->task}};
    mf_artifact *mask;
    mf_array *voxels, *wide = NULL;
    scan notes;
    MF_TRY(load_labels(path, &options, m->like, &notes, &mask));
    mf_status status = mf_artifact_array(mask, "voxels", &voxels);
    if (!status) {
        status = mf_array_convert(voxels, MF_I32, &wide);
        mf_array_unref(voxels);
    }
    mf_artifact_unref(mask);
    MF_TRY(status);
    fill(wide, label, m->to);
    mf_array_unref(wide);
    m->merged++;
    return MF_OK;
}

static mf_status add_file(merge *m, const char *file)
{
    char *path;
    int64_t label = label_of(&m->classes, file);
    if (!label) {
        m->other += *file != '.';
        return MF_OK;
    }
    if (asprintf(&path, "%s/%s", m->params->folder, file) < 0)
        return mf_no_memory(0, "a path");
    mf_status status = add_mask(m, path, label);
    free(path);
    return status;
}

static mf_status add_folder(merge *m)
{
    struct dirent **entries;
    mf_status status = MF_OK;
    int count = scandir(m->params->folder, &entries, NULL, NULL);
    if (count < 0)
        return mf_fail(MF_IO, "cannot read the folder %s: %s", m->params->folder, strerror(errno));
    /* Bytes, whatever the language of the machine. */
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && strcmp(entries[k - 1]->d_name, entries[k]->d_name) > 0; k--) {
            struct dirent *e = entries[k];
            entries[k] = entries[k - 1];
            entries[k - 1] = e;
        }
    for (int i = 0; i < count; i++) {
        if (!status)
            status = add_file(m, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (!status && !m->merged)
        status = mf_hint(mf_fail(MF_NOT_FOUND, "%s: has no mask of a class that %s names",
                                 m->params->folder, m->params->classes),
                         "a mask is called as its class, with the suffix .nii.gz or .nii");
    return status;
}

static mf_status set_names(const classes *c, mf_artifact *labels)
{
    mf_names names = {0};
    mf_status status = MF_OK;
    for (int64_t i = 0; i < c->count && !status; i++)
        status = mf_names_put(&names, i + 1, c->name[i], MF_NO_COLOUR);
    if (!status)
        status = mf_artifact_set_names(labels, &names);
    mf_names_clear(&names);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    merge m = {.task = t, .params = p};
    mf_grid grid;
    mf_artifact *labels;
    int64_t shape[3];
    (void)session;
    MF_TRY(mf_in(t, "like", &m.like));
    MF_TRY(mf_artifact_grid(m.like, &grid));
    mf_zyx(grid.size, shape);
    mf_status status = read_classes(m.params->classes, &m.classes);
    if (!status)
        status = mf_array_new(dtype_for(&m.classes), 3, shape, &m.to);
    if (!status)
        status = add_folder(&m);
    if (!status)
        status = mf_artifact_new("labels", &labels);
    if (!status) {
        status = mf_artifact_set_grid(labels, &grid);
        if (!status)
            status = mf_artifact_inherit(labels, m.like);
        if (!status)
            status = mf_artifact_add(labels, "voxels", m.to);
        if (!status)
            status = mf_within(set_names(&m.classes, labels), "%s", m.params->classes);
        if (status)
            mf_artifact_unref(labels);
    }
    classes_clear(&m.classes);
    mf_array_unref(m.to);
    MF_TRY(status);
    mf_log(t, "%lld classes merged; %lld other files passed over", (long long)m.merged,
           (long long)m.other);
    return mf_out(t, "labels", labels);
}

MF_STAGE(labels_merge, "labels.merge", 3,
         "Merges a folder of masks, one for each class, to a label map.",
         .help =
             "As TotalSegmentator's data sets are laid out. Masks are taken in order of their "
             "file names (byte by byte); where two overlap the later one counts. Files that are "
             "no class of `classes` are passed over and counted in the log. Each mask must lie "
             "on the scan, as in labels.load. Label values are 8-bit integers where `classes` has "
             "at most 255 names, else 16-bit ones. The classes are the names of the labels.",
         .params = params, .params_size = sizeof(merge_params), .in = inputs, .out = outputs,
         .run = run);
