/* autopet_cases.c - the source of cases `autopet`, the data set FDG-PET-CT-Lesions of AutoPET.
 *
 *   PETCT_01140d52d8/08-13-2005-NA-PET-CT .../CTres.nii.gz   CT on the grid of the PET
 *                                            SUV.nii.gz, SEG.nii.gz
 *
 * Studies of a patient are numbered by their date, as the official MASS code does. */
#include "corpus_stages.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_STUDIES = 1000 };

typedef struct study {
    const char *folder;
    int date; /* yyyymmdd; those without one come last */
} study;

static int by_date(const void *a, const void *b)
{
    const study *x = a, *y = b;
    return x->date != y->date ? (x->date < y->date ? -1 : 1) : strcmp(x->folder, y->folder);
}

/* "08-13-2005-..." */
static int date_of(const char *name)
{
    int month, day, year, end = 0;
    if (sscanf(name, "%2d-%2d-%4d%n", &month, &day, &year, &end) == 3 && end == 10)
        return 10000 * year + 100 * month + day;
    return 99999999;
}

static mf_status scan_folder(const char *folder, struct dirent ***entries, int *count)
{
    *count = scandir(folder, entries, NULL, alphasort);
    return *count < 0 ? mf_fail(MF_IO, "cannot read the folder %s: %s", folder, strerror(errno))
                      : MF_OK;
}

static void free_entries(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static mf_status find_studies(mf_cases *cases, const char *patient, study *list, size_t *found)
{
    struct dirent **entries;
    int count;
    MF_TRY(scan_folder(patient, &entries, &count));
    mf_status status = MF_OK;
    for (int i = 0; i < count && !status; i++) {
        const char *name = entries[i]->d_name;
        const char *folder = mf_cases_text(cases, "%s/%s", patient, name);
        if (*name == '.' || access(mf_cases_text(cases, "%s/CTres.nii.gz", folder), F_OK))
            continue;
        if (*found == MOST_STUDIES)
            status = mf_fail(MF_UNSUPPORTED, "%s has more than %d studies", patient, MOST_STUDIES);
        else
            list[(*found)++] = (study){folder, date_of(name)};
    }
    free_entries(entries, count);
    return status;
}

static mf_status add_study(mf_cases *cases, const char *patient, size_t number, const char *folder)
{
    static const char *const columns[][2] = {{"path", "CTres.nii.gz"},
                                             {"ct", "CTres.nii.gz"},
                                             {"suv", "SUV.nii.gz"},
                                             {"labels", "SEG.nii.gz"}};
    const char *id = mf_cases_text(cases, "%s_%zu", patient, number);
    mf_cases_add(cases, NULL, id);
    mf_cases_from(cases, folder);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        const char *path = mf_cases_text(cases, "%s/%s", folder, columns[i][1]);
        if (access(path, F_OK))
            return mf_fail(MF_NOT_FOUND, "%s: no file '%s'", id, path);
        mf_cases_set(cases, columns[i][0], path);
    }
    return MF_OK;
}

static mf_status add_patient(mf_cases *cases, const char *root, const char *patient, size_t *added)
{
    study *list = calloc(MOST_STUDIES, sizeof *list);
    size_t found = 0;
    if (!list)
        return mf_no_memory(0, "the studies of a patient");
    mf_status status =
        find_studies(cases, mf_cases_text(cases, "%s/%s", root, patient), list, &found);
    qsort(list, found, sizeof *list, by_date);
    for (size_t i = 0; i < found && !status; i++)
        status = add_study(cases, patient, i, list[i].folder);
    free(list);
    *added += found;
    return status;
}

typedef struct autopet_params {
    const char *autopet;
} autopet_params;

static bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

static mf_status read_autopet(mf_cases *cases, const void *params)
{
    const autopet_params *o = params;
    struct dirent **entries;
    size_t added = 0;
    int count;
    MF_TRY(scan_folder(o->autopet, &entries, &count));
    mf_status status = MF_OK;
    for (int i = 0; i < count && !status; i++)
        if (!strncmp(entries[i]->d_name, "PETCT_", 6) &&
            is_folder(mf_cases_text(cases, "%s/%s", o->autopet, entries[i]->d_name)))
            status = add_patient(cases, o->autopet, entries[i]->d_name, &added);
    free_entries(entries, count);
    if (!status && !added)
        status = mf_hint(mf_fail(MF_NOT_FOUND, "no file '%s/PETCT_*/*/CTres.nii.gz'", o->autopet),
                         "the folder of FDG-PET-CT-Lesions, converted to NIfTI");
    return status;
}

MF_CASE_SOURCE(autopet_cases, "autopet", "The studies of AutoPET's FDG-PET-CT-Lesions.",
               read_autopet,
               MF_PARAMETERS(autopet_params,
                             MF_PATH(autopet_params, autopet, NULL,
                                     "The data set's folder, which holds PETCT_* folders.")),
               MF_COLUMNS({"ct", "CTres.nii.gz: the CT on the grid of the PET; also `path`."},
                          {"suv", "SUV.nii.gz"}, {"labels", "SEG.nii.gz"}),
               .help = "The id is that of the patient and the number of the study by its date: "
                       "PETCT_01140d52d8_0. Folders without CTres.nii.gz are no studies.");
