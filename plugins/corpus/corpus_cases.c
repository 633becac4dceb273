/* corpus_cases.c - sources of cases: folders as the official MASS code lays them out.
 *
 *   mass         FOLDER/NAME_image.npy, NAME_gt.npy, dataset.h5, for segmentation and pretraining
 *   mass_labels  FOLDER/NAME.npy and labels.csv, for classification */
#include "corpus_stages.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_TABLE ((size_t)256 << 20)
#define MOST_COLUMNS 1000

static const char image_end[] = "_image.npy";

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), m = strlen(with);
    return n > m && !strcmp(text + n - m, with);
}

/* ---- mass ------------------------------------------------------------------------------------ */

typedef struct mass_params {
    const char *mass, *splits;
} mass_params;

/* What a file of splits says: a list of names for each set. */
typedef struct split {
    const char *set;
    const mf_entry *names;
    size_t count;
    bool *met; /* of each name: whether it is there */
} split;

enum { SETS = 3 };

static const char *folder_name(const char *folder)
{
    const char *end = folder + strlen(folder), *start;
    while (end > folder && end[-1] == '/')
        end--;
    for (start = end; start > folder && start[-1] != '/';)
        start--;
    return start;
}

/* {train: [...], val: [...], test: [...]}, or with the folder's name before each as split.py of the
 * official code has them: bcv_train. */
static mf_status read_splits(mf_cases *cases, const mass_params *o, split splits[SETS])
{
    static const char *const sets[SETS] = {"train", "val", "test"};
    const mf_entry *root;
    size_t found = 0;
    if (!o->splits)
        return MF_OK;
    MF_TRY(mf_cases_tree(cases, o->splits, LARGEST_TABLE, &root));
    const char *name = folder_name(o->mass);
    for (int i = 0; i < SETS; i++) {
        const mf_entry *names = mf_entry_get(
            root, mf_cases_text(cases, "%.*s_%s", (int)strcspn(name, "/"), name, sets[i]));
        if (!names)
            names = mf_entry_get(root, sets[i]);
        if (names && mf_entry_is(names) != MF_ENTRY_LIST)
            return mf_cases_at(cases, names,
                               mf_fail(MF_INVALID, "'%s' is to be a list of names", sets[i]));
        size_t count = names ? mf_entry_count(names) : 0;
        splits[i] = (split){sets[i], names, count, calloc(count + 1, 1)};
        if (!splits[i].met)
            return mf_no_memory(0, "the splits");
        found += names != NULL;
    }
    if (found)
        return MF_OK;
    return mf_cases_at(cases, root,
                       mf_fail(MF_INVALID,
                               "it has none of the lists train, val and test, nor %.*s_train, ...",
                               (int)strcspn(name, "/"), name));
}

/* The set of a scan; NULL where no list has it. */
static mf_status set_of(mf_cases *cases, split splits[SETS], const char *name, const char **set)
{
    *set = NULL;
    for (int s = 0; s < SETS; s++)
        for (size_t i = 0; i < splits[s].count; i++) {
            const mf_entry *at = mf_entry_at(splits[s].names, i);
            const char *text = mf_entry_text(at);
            if (!text || strcmp(text, name) != 0)
                continue;
            if (*set && strcmp(*set, splits[s].set) != 0)
                return mf_cases_at(cases, at,
                                   mf_hint(mf_fail(MF_INVALID, "%s is in the lists %s and %s", name,
                                                   *set, splits[s].set),
                                           "leave it in one of them"));
            splits[s].met[i] = true;
            *set = splits[s].set;
        }
    return MF_OK;
}

static mf_status check_met(mf_cases *cases, const mass_params *o, split splits[SETS])
{
    for (int s = 0; s < SETS; s++)
        for (size_t i = 0; i < splits[s].count; i++) {
            const mf_entry *at = mf_entry_at(splits[s].names, i);
            if (splits[s].met[i])
                continue;
            return mf_cases_at(cases, at,
                               mf_hint(mf_fail(MF_NOT_FOUND, "no file '%s/%s%s', of the set %s",
                                               o->mass, mf_entry_text(at) ? mf_entry_text(at) : "",
                                               image_end, splits[s].set),
                                       "prepare this scan, or take it off the list"));
        }
    return MF_OK;
}

static void add_scan(mf_cases *cases, const mass_params *o, const char *file, const char *set)
{
    const char *name = mf_cases_text(cases, "%.*s", (int)(strlen(file) - strlen(image_end)), file);
    const char *labels = mf_cases_text(cases, "%s/%s_gt.npy", o->mass, name);
    const char *masks = mf_cases_text(cases, "%s/dataset.h5", o->mass);
    mf_cases_add(cases, NULL, mf_cases_id(cases, name));
    mf_cases_set(cases, "path", mf_cases_text(cases, "%s/%s", o->mass, file));
    mf_cases_set(cases, "name", name);
    if (!access(labels, F_OK))
        mf_cases_set(cases, "labels", labels);
    if (!access(masks, F_OK))
        mf_cases_set(cases, "masks", masks);
    if (set)
        mf_cases_set(cases, "set", set);
}

static mf_status read_folder(mf_cases *cases, const mass_params *o, split splits[SETS])
{
    struct dirent **entries;
    size_t found = 0, unlisted = 0;
    int count = scandir(o->mass, &entries, NULL, alphasort);
    if (count < 0)
        return mf_fail(MF_IO, "cannot read the folder %s: %s", o->mass, strerror(errno));
    mf_status status = MF_OK;
    for (int i = 0; i < count; i++) {
        const char *file = entries[i]->d_name;
        if (*file != '.' && ends(file, image_end)) {
            const char *set;
            if (!status)
                status = set_of(
                    cases, splits,
                    mf_cases_text(cases, "%.*s", (int)(strlen(file) - strlen(image_end)), file),
                    &set);
            if (!status) {
                add_scan(cases, o, file, set);
                found++;
                unlisted += !set;
            }
        }
        free(entries[i]);
    }
    free(entries);
    MF_TRY(status);
    if (!found)
        return mf_hint(mf_fail(MF_NOT_FOUND, "no file '%s/*%s'", o->mass, image_end),
                       "the folder of one data set, as prepare_training_data.py writes it");
    if (o->splits && unlisted)
        mf_cases_note(cases, "mass %s: %zu of %zu scans are in no list of %s", o->mass, unlisted,
                      found, o->splits);
    return check_met(cases, o, splits);
}

static mf_status read_mass(mf_cases *cases, const void *params)
{
    const mass_params *o = params;
    split splits[SETS] = {{0}};
    mf_status status = read_splits(cases, o, splits);
    if (!status)
        status = read_folder(cases, o, splits);
    for (int i = 0; i < SETS; i++)
        free(splits[i].met);
    return status;
}

MF_CASE_SOURCE(
    mass_cases, "mass", "The scans of a data set that the official MASS code has prepared.",
    read_mass,
    MF_PARAMETERS(mass_params,
                  MF_PATH(mass_params, mass, NULL,
                          "The data set's folder: NAME_image.npy, NAME_gt.npy, dataset.h5."),
                  MF_PATH(mass_params, splits, "",
                          "A JSON or YAML file with the lists train, val and test of names, or "
                          "FOLDER_train, ... as in split.py.")),
    MF_COLUMNS({"name", "Of its image, and of its group in dataset.h5."},
               {"labels", "Its NAME_gt.npy, where there is one."},
               {"masks", "The folder's dataset.h5, where there is one."},
               {"set", "train, val or test: the list of `splits` that has it."}),
    .help = "For mass.import: image: \"${case.path}\", masks: \"${case.masks}\", group: "
            "\"${case.name}\", labels: \"${case.labels}\".");

/* ---- mass_labels ----------------------------------------------------------------------------- */

typedef struct labels_params {
    const char *mass_labels, *table;
} labels_params;

/* Fields of a line; a quoted one may hold commas, and a quote twice. */
static mf_status split_line(mf_cases *cases, const mf_entry *line, const char **field,
                            size_t *count)
{
    const char *at = mf_entry_text(line);
    *count = 0;
    for (bool more = true; more; at++) {
        char *text = strdup(at), *to = text;
        if (!text)
            return mf_no_memory(0, "a line");
        at += strspn(at, " ");
        bool quoted = *at == '"';
        for (at += quoted; *at && (quoted || *at != ','); at++) {
            if (quoted && *at == '"' && at[1] != '"')
                break;
            at += quoted && *at == '"';
            *to++ = *at;
        }
        bool closed = !quoted || *at == '"';
        at += quoted && closed;
        at += strspn(at, " ");
        while (!quoted && to > text && to[-1] == ' ')
            to--;
        *to = '\0';
        bool full = *count == MOST_COLUMNS;
        if (!full)
            field[(*count)++] = mf_cases_text(cases, "%s", text);
        free(text);
        if (full || !closed || (*at && *at != ','))
            return mf_cases_at(
                cases, line,
                full ? mf_fail(MF_UNSUPPORTED, "more than %d columns", MOST_COLUMNS)
                     : mf_fail(MF_INVALID, "a quote that does not enclose a whole field"));
        more = *at == ',';
    }
    return MF_OK;
}

static bool is_named(const char *name)
{
    return *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               strlen(name);
}

/* NULL of a column that the official code does not read either. */
static const char *column_name(const char *name)
{
    return !strcmp(name, "split")       ? "set"
           : !strcmp(name, "filename")  ? "name"
           : !strncmp(name, "label", 5) ? name
                                        : NULL;
}

static mf_status read_header(mf_cases *cases, const mf_entry *line, const char **name,
                             size_t *columns, size_t *filename)
{
    bool labelled = false;
    MF_TRY(split_line(cases, line, name, columns));
    *filename = *columns;
    for (size_t i = 0; i < *columns; i++) {
        if (!strcmp(name[i], "filename"))
            *filename = i;
        labelled = labelled || !strncmp(name[i], "label", 5);
        if (!column_name(name[i])) /* passed over: an index of pandas has no name */
            continue;
        if (!is_named(name[i]))
            return mf_cases_at(
                cases, line,
                mf_fail(MF_INVALID,
                        "column %zu: the name '%s' has other characters than letters, "
                        "digits, _ and -",
                        i + 1, name[i]));
        for (size_t k = 0; k < i; k++)
            if (!strcmp(name[k], name[i]))
                return mf_cases_at(cases, line,
                                   mf_fail(MF_INVALID, "two columns are called %s", name[i]));
    }
    if (*filename == *columns || !labelled)
        return mf_cases_at(cases, line,
                           mf_fail(MF_INVALID, "the columns are to be filename, label (or label_0, "
                                               "label_1, ...) and, if there are splits, split"));
    return MF_OK;
}

static mf_status add_row(mf_cases *cases, const labels_params *o, const mf_entry *line,
                         const char *const *name, size_t columns, size_t filename)
{
    const char *field[MOST_COLUMNS];
    size_t count;
    MF_TRY(split_line(cases, line, field, &count));
    if (count == 1 && !*field[0])
        return MF_OK;
    if (count != columns)
        return mf_cases_at(cases, line,
                           mf_fail(MF_INVALID, "%zu fields, where the first line has %zu columns",
                                   count, columns));
    const char *file = field[filename];
    const char *path =
        mf_cases_text(cases, "%s/%s%s", o->mass_labels, file, ends(file, ".npy") ? "" : ".npy");
    if (access(path, F_OK))
        return mf_cases_at(cases, line, mf_fail(MF_NOT_FOUND, "no file '%s'", path));
    size_t length = strlen(file) - (ends(file, ".npy") ? 4 : 0);
    mf_cases_add(cases, line, mf_cases_id(cases, mf_cases_text(cases, "%.*s", (int)length, file)));
    mf_cases_set(cases, "path", path);
    for (size_t i = 0; i < columns; i++)
        if (*field[i] && column_name(name[i]))
            mf_cases_set(cases, column_name(name[i]), field[i]);
    return MF_OK;
}

static mf_status read_labels(mf_cases *cases, const void *params)
{
    const labels_params *o = params;
    const char *name[MOST_COLUMNS];
    const mf_entry *lines;
    size_t columns, filename;
    const char *table = o->table ? o->table : mf_cases_text(cases, "%s/labels.csv", o->mass_labels);
    MF_TRY(mf_cases_lines(cases, table, LARGEST_TABLE, &lines));
    if (mf_entry_count(lines) < 2)
        return mf_fail(MF_INVALID, "%s has no rows", table);
    MF_TRY(read_header(cases, mf_entry_at(lines, 0), name, &columns, &filename));
    for (size_t i = 1; i < mf_entry_count(lines); i++)
        MF_TRY(add_row(cases, o, mf_entry_at(lines, i), name, columns, filename));
    return MF_OK;
}

MF_CASE_SOURCE(
    mass_labels_cases, "mass_labels",
    "The scans of a data set for classification, as the official MASS code takes it.", read_labels,
    MF_PARAMETERS(labels_params,
                  MF_PATH(labels_params, mass_labels, NULL,
                          "The data set's folder: NAME.npy and labels.csv."),
                  MF_PATH(labels_params, table, "",
                          "Another table than labels.csv of the folder.")),
    MF_COLUMNS({"name", "The file's name, as `filename` has it."},
               {"set", "train, val or test: the column `split`."},
               {"label*",
                "Its class from 0 (label), or one column for each class (label_0, ...)."}),
    .help = "Columns whose names begin otherwise are passed over; an empty field is none.");
