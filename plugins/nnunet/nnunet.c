/* nnunet.c - plugin "nnunet": the source of cases `nnunet`, a raw data set of nnU-Net v2.
 *
 *   dataset.json               channel_names, labels, numTraining, file_ending
 *   imagesTr/NAME_0000.nii.gz  a file for each channel
 *   labelsTr/NAME.nii.gz
 *   imagesTs, labelsTs         of the test set; either may be missing
 *
 * (nnU-Net's documentation/dataset_format.md.) Where dataset.json lists files under `dataset`,
 * those are the training cases. */
#include "../common/nnunet_labels.h"

#include <massflow/cases.h>
#include <massflow/memory.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_JSON ((size_t)64 << 20)
#define MOST_CHANNELS 100

typedef struct dataset {
    mf_cases *cases;
    const mf_entry *json;
    const char *folder, *ending, *names; /* names: of the labels, or NULL */
    size_t channels;
} dataset;

static mf_status no_file(const dataset *d, const mf_entry *at, const char *what, const char *path)
{
    return mf_cases_at(d->cases, at, mf_fail(MF_NOT_FOUND, "%s: no file '%s'", what, path));
}

static mf_status wrong(const dataset *d, const mf_entry *at, const char *what)
{
    return mf_cases_at(d->cases, at, mf_fail(MF_INVALID, "%s", what));
}

/* A value of dataset.json if it is of that kind. */
static const mf_entry *value_of(const mf_entry *map, const char *name, mf_entry_kind kind)
{
    const mf_entry *value = mf_entry_get(map, name);
    return value && mf_entry_is(value) == kind ? value : NULL;
}

/* ---- dataset.json ------------------------------------------------------------------------------
 */

static mf_status check_channels(dataset *d)
{
    const mf_entry *given = mf_entry_get(d->json, "channel_names"),
                   *channels = value_of(d->json, "channel_names", MF_ENTRY_MAP);
    if (!given && mf_entry_get(d->json, "modality"))
        return wrong(d, d->json,
                     "this is a data set of nnU-Net v1 or of the Medical Segmentation Decathlon; "
                     "v2's has channel_names and file_ending");
    d->channels = channels ? mf_entry_count(channels) : 0;
    if (!d->channels || d->channels > MOST_CHANNELS)
        return wrong(d, given ? given : d->json,
                     "'channel_names' is to name the channels, as in {\"0\": \"CT\"}");
    for (size_t i = 0; i < d->channels; i++)
        if (!mf_entry_get(channels, mf_cases_text(d->cases, "%zu", i)))
            return mf_cases_at(d->cases, channels,
                               mf_fail(MF_INVALID, "channel %zu is missing", i));
    return MF_OK;
}

static mf_status check_ending(dataset *d)
{
    const mf_entry *given = mf_entry_get(d->json, "file_ending"),
                   *ending = value_of(d->json, "file_ending", MF_ENTRY_TEXT);
    d->ending = ending ? mf_entry_text(ending) : "";
    if (*d->ending != '.')
        return wrong(d, given ? given : d->json,
                     "'file_ending' is to be a suffix, as in \".nii.gz\"");
    return MF_OK;
}

static mf_status add_label(dataset *d, mf_regions *r, const mf_entry *key, const mf_entry *value)
{
    size_t count = mf_entry_is(value) == MF_ENTRY_LIST ? mf_entry_count(value) : 1;
    const char **texts = calloc(count + 1, sizeof *texts);
    mf_status status = texts ? MF_OK : mf_no_memory(0, "names of labels");
    for (size_t i = 0; i < count && !status; i++) {
        texts[i] =
            mf_entry_text(mf_entry_is(value) == MF_ENTRY_LIST ? mf_entry_at(value, i) : value);
        if (!texts[i])
            status = mf_fail(MF_INVALID, "a label is one value or a list of values");
    }
    if (!status)
        status = mf_regions_add(r, mf_entry_text(key), texts, count);
    free(texts);
    return status ? mf_cases_at(d->cases, key, status) : MF_OK;
}

/* As a column has them: the text of the parameter `names` of labels.load. */
static mf_status names_text(dataset *d, const mf_names *names, const mf_label_sets *sets)
{
    char *text = NULL;
    size_t size;
    FILE *out = names->count ? open_memstream(&text, &size) : NULL;
    if (!out)
        return names->count ? mf_no_memory(0, "names of labels") : MF_OK;
    for (size_t i = 0; i < names->count; i++)
        fprintf(out, "%lld=%s\n", (long long)names->v[i].value, names->v[i].name);
    for (size_t i = 0; i < sets->count; i++) {
        for (size_t k = 0; k < sets->v[i].count; k++)
            fprintf(out, "+%lld", (long long)sets->v[i].values[k]);
        fprintf(out, "=%s\n", sets->v[i].name);
    }
    bool bad = fclose(out) != 0;
    if (!bad)
        d->names = mf_cases_text(d->cases, "%s", text);
    free(text);
    return bad ? mf_no_memory(0, "names of labels") : MF_OK;
}

/* Names of the labels; a data set without them is no data set of nnU-Net, but can be read. */
static mf_status read_labels(dataset *d)
{
    const mf_entry *labels = value_of(d->json, "labels", MF_ENTRY_MAP);
    mf_regions regions = {0};
    mf_names names = {0};
    mf_label_sets sets = {0};
    mf_status status = MF_OK;
    for (size_t i = 0; labels && i < mf_entry_count(labels) && !status; i++)
        status = add_label(d, &regions, mf_entry_key(labels, i), mf_entry_at(labels, i));
    if (!status && labels) {
        status = mf_regions_names(&regions, &names);
        if (!status)
            status = mf_regions_sets(&regions, &sets);
        status = status ? mf_cases_at(d->cases, labels, status) : names_text(d, &names, &sets);
    }
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    mf_regions_clear(&regions);
    return status;
}

static mf_status read_json(dataset *d)
{
    const char *path = mf_cases_text(d->cases, "%s/dataset.json", d->folder);
    MF_TRY(mf_cases_tree(d->cases, path, LARGEST_JSON, &d->json));
    if (mf_entry_is(d->json) != MF_ENTRY_MAP)
        return wrong(d, d->json, "dataset.json is to be an object");
    MF_TRY(check_channels(d));
    MF_TRY(read_labels(d));
    return check_ending(d);
}

/* ---- cases -------------------------------------------------------------------------------------
 */

static void add_case(dataset *d, const mf_entry *at, const char *id, const char *set,
                     const char *const *images, const char *label)
{
    mf_cases_add(d->cases, at, id);
    mf_cases_set(d->cases, "path", images[0]);
    for (size_t i = 0; i < d->channels; i++)
        mf_cases_set(d->cases, mf_cases_text(d->cases, "channel%zu", i), images[i]);
    if (label)
        mf_cases_set(d->cases, "label", label);
    mf_cases_set(d->cases, "names", d->names ? d->names : "");
    mf_cases_set(d->cases, "set", set);
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

static mf_status add_scan(dataset *d, const char *images, const char *labels, const char *file,
                          const char *set, bool must_label)
{
    const char *name = mf_cases_text(d->cases, "%.*s", (int)name_length(d, file), file);
    const char *paths[MOST_CHANNELS];
    for (size_t i = 0; i < d->channels; i++) {
        paths[i] =
            mf_cases_text(d->cases, "%s/%s/%s_%04zu%s", d->folder, images, name, i, d->ending);
        if (access(paths[i], F_OK))
            return no_file(d, NULL, name, paths[i]);
    }
    const char *label = mf_cases_text(d->cases, "%s/%s/%s%s", d->folder, labels, name, d->ending);
    bool there = !access(label, F_OK);
    if (must_label && !there)
        return no_file(d, NULL, name, label);
    add_case(d, NULL, name, set, paths, there ? label : NULL);
    return MF_OK;
}

/* A file of a folder of images; *cases is how many cases it has so far. */
static mf_status read_file(dataset *d, const char *suffix, const char *file, const char *set,
                           bool must, size_t *cases)
{
    const char *images = mf_cases_text(d->cases, "images%s", suffix);
    const char *labels = mf_cases_text(d->cases, "labels%s", suffix);
    size_t length = strlen(file), ending = strlen(d->ending);
    if (length <= ending || strcmp(file + length - ending, d->ending) || *file == '.')
        return MF_OK;
    if (!name_length(d, file))
        return mf_fail(MF_INVALID, "'%s' in %s has no channel number, as in %.*s_0000%s", file,
                       images, (int)(length - ending), file, d->ending);
    if (!is_first(d, file))
        return MF_OK;
    ++*cases;
    return add_scan(d, images, labels, file, set, must);
}

/* One of the two sets; *cases is how many cases it has. */
static mf_status read_set(dataset *d, const char *suffix, const char *set, bool must, size_t *cases)
{
    struct dirent **entries;
    const char *folder = mf_cases_text(d->cases, "%s/images%s", d->folder, suffix);
    int count = scandir(folder, &entries, NULL, alphasort);
    mf_status status = MF_OK;
    *cases = 0;
    if (count < 0 && !must && errno == ENOENT)
        return MF_OK;
    if (count < 0)
        return mf_fail(MF_IO, "cannot read the folder %s: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (!status)
            status = read_file(d, suffix, entries[i]->d_name, set, must, cases);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* A file that dataset.json names, from the data set's folder. */
static mf_status listed_file(dataset *d, const mf_entry *file, const char *id, const char **path)
{
    const char *text = mf_entry_text(file);
    if (!text)
        return wrong(d, file, "a file's path is wanted");
    *path = *text == '/' ? text : mf_cases_text(d->cases, "%s/%s", d->folder, text);
    return access(*path, F_OK) ? no_file(d, file, id, *path) : MF_OK;
}

/* `dataset`: {NAME: {images: [...], label: ...}} */
static mf_status read_listed(dataset *d, const mf_entry *map, size_t *cases)
{
    if (mf_entry_is(map) != MF_ENTRY_MAP)
        return wrong(d, map, "'dataset' is to be an object of cases");
    for (size_t i = 0; i < mf_entry_count(map); i++) {
        const mf_entry *key = mf_entry_key(map, i), *one = mf_entry_at(map, i);
        const mf_entry *images = value_of(one, "images", MF_ENTRY_LIST),
                       *label = value_of(one, "label", MF_ENTRY_TEXT);
        const char *id = mf_entry_text(key), *paths[MOST_CHANNELS], *label_path;
        if (!images || mf_entry_count(images) != d->channels || !label)
            return mf_cases_at(d->cases, key,
                               mf_fail(MF_INVALID,
                                       "'%s' is to have 'images', one for each of %zu channels, "
                                       "and a 'label'",
                                       id, d->channels));
        for (size_t k = 0; k < d->channels; k++)
            MF_TRY(listed_file(d, mf_entry_at(images, k), id, &paths[k]));
        MF_TRY(listed_file(d, label, id, &label_path));
        add_case(d, key, id, "train", paths, label_path);
        ++*cases;
    }
    return MF_OK;
}

static void check_count(const dataset *d, size_t cases)
{
    const mf_entry *number = value_of(d->json, "numTraining", MF_ENTRY_TEXT);
    if (number && strtoull(mf_entry_text(number), NULL, 10) != cases)
        mf_cases_warn(d->cases, number, "%zu training cases are there, not %s", cases,
                      mf_entry_text(number));
}

typedef struct nnunet_params {
    const char *nnunet;
} nnunet_params;

static mf_status read_cases(mf_cases *cases, const void *params)
{
    const nnunet_params *p = params;
    dataset d = {.cases = cases, .folder = p->nnunet};
    size_t count = 0, test;
    MF_TRY(read_json(&d));
    const mf_entry *listed = mf_entry_get(d.json, "dataset");
    if (listed)
        MF_TRY(read_listed(&d, listed, &count));
    else
        MF_TRY(read_set(&d, "Tr", "train", true, &count));
    check_count(&d, count);
    return read_set(&d, "Ts", "test", false, &test);
}

static MF_CASE_SOURCE(
    nnunet, "nnunet", "The cases of a raw data set of nnU-Net v2.", read_cases,
    MF_PARAMETERS(nnunet_params, MF_PATH(nnunet_params, nnunet, NULL,
                                         "The data set's folder, which holds dataset.json.")),
    MF_COLUMNS({"channel*", "The image of each channel: channel0, channel1, ...; `path` is the "
                            "first."},
               {"label", "The label map; none where a test case has none."},
               {"names",
                "The names of the labels, for the parameter `names` of labels.load; a value "
                "of a region-based data set is called by the regions it lies in."},
               {"set", "train or test."}),
    .help = "Cases lie in imagesTr and labelsTr, those of the test set in imagesTs and labelsTs; "
            "where dataset.json lists files under `dataset`, those are the training cases.");
static const mf_case_source *const sources[] = {&nnunet, NULL};

MF_PLUGIN_WITH_SOURCES("nnunet", NULL, sources, NULL)
