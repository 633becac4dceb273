/* dicom_cases.c - see dicom_cases.h.
 *
 * Files belong to one case that lie in one folder and have one Series Instance UID, for that is
 * what a stage can be told: the folder and which of its series. */
#include "dicom_cases.h"
#include "dicom_about.h"

#include <dirent.h>
#include <errno.h>
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEEPEST 32 /* folders in folders */

typedef struct series {
    const char *folder, *below; /* absolute, and from the folder that is searched */
    dicom_about about;
    bool alone; /* in its folder */
} series;

typedef struct search {
    mf_cases *cases;
    series *list;
    size_t count, room;
    size_t files; /* looked at */
    size_t hidden;
    const char *a_hidden;
    bool good;
} search;

/* The search goes on: all that is wrong is reported. */
static void wrong(search *s, mf_status status)
{
    mf_cases_report(s->cases, NULL, status);
    s->good = false;
}

static void add_file(search *s, const char *path, const char *folder, const char *below,
                     size_t first)
{
    dicom_about about;
    bool is_dicom;
    mf_status status = dicom_about_read(path, &about, &is_dicom);
    s->files++;
    if (status) {
        wrong(s, status);
        return;
    }
    if (!is_dicom || !about.image)
        return;
    if (!*about.series) {
        wrong(s, mf_fail(MF_INVALID, "%s does not say to which series it belongs", path));
        return;
    }
    for (size_t i = first; i < s->count; i++)
        if (!strcmp(s->list[i].about.series, about.series))
            return;
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        series *list = reallocarray(s->list, room, sizeof *list);
        if (!list) {
            wrong(s, mf_no_memory(0, "the series"));
            return;
        }
        s->list = list;
        s->room = room;
    }
    s->list[s->count++] = (series){folder, below, about, false};
}

/* A folder that is being searched, and those that it lies in. */
typedef struct way {
    dev_t device;
    ino_t inode;
    const struct way *up;
    int depth;
} way;

/* Links can lead back to where one came from. */
static bool may_enter(const way *up, const struct stat *st)
{
    if (up && up->depth >= DEEPEST)
        return false;
    for (; up; up = up->up)
        if (up->device == st->st_dev && up->inode == st->st_ino)
            return false;
    return true;
}

/* Names that begin with a dot, such as the ._NAME that macOS puts beside files on foreign disks. */
static void pass_hidden(search *s, const char *name, bool counts)
{
    if (!counts)
        return;
    if (!s->hidden++)
        s->a_hidden = mf_cases_text(s->cases, "%s", name);
}

static void search_folder(search *s, const char *folder, const char *below, const way *up)
{
    struct dirent **entries;
    struct stat about;
    size_t first = s->count;
    if (stat(folder, &about) || !may_enter(up, &about))
        return;
    const way here_at = {about.st_dev, about.st_ino, up, up ? up->depth + 1 : 0};
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        wrong(s, mf_fail(MF_IO, "cannot read the folder %s: %s", folder, strerror(errno)));
        return;
    }
    for (int pass = 0; pass < 2; pass++) /* the folder's own files, then those below it */
        for (int i = 0; i < count; i++) {
            const char *name = entries[i]->d_name;
            const char *path = mf_cases_text(s->cases, "%s/%s", folder, name);
            struct stat st;
            if (stat(path, &st)) {
                if (!pass && errno != ENOENT && errno != ELOOP) /* a link to nowhere is no file */
                    wrong(s, mf_fail(MF_IO, "cannot read %s: %s", path, strerror(errno)));
                continue;
            }
            if (!mf_path_plain(name)) {
                if (!pass)
                    wrong(s, mf_fail(MF_INVALID, "the name of '%s' has a control character", path));
                continue;
            }
            if (*name == '.' || mf_path_ignored(name))
                pass_hidden(s, name, !pass && S_ISREG(st.st_mode));
            else if (!pass && S_ISREG(st.st_mode))
                add_file(s, path, folder, below, first);
            else if (pass && S_ISDIR(st.st_mode))
                search_folder(s, path,
                              mf_cases_text(s->cases, "%s%s%s", below, *below ? "/" : "", name),
                              &here_at);
            if (!pass)
                for (size_t k = first; k < s->count; k++)
                    s->list[k].alone = s->count == first + 1;
        }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

/* The way from the folder that is searched, and the number where a folder holds several. */
static const char *name_series(mf_cases *cases, const series *s, const char *root)
{
    const char *slash = strrchr(root, '/');
    const char *name = mf_cases_id(cases, *s->below ? s->below : slash[1] ? slash + 1 : root);
    return s->alone ? name
                    : mf_cases_text(cases, "%s-%s", name,
                                    *s->about.number ? s->about.number : s->about.series);
}

static void add_case(mf_cases *cases, const series *s, const char *root)
{
    mf_cases_add(cases, NULL, name_series(cases, s, root));
    mf_cases_from(cases, mf_cases_text(cases, "%s, series %s", s->folder, s->about.series));
    mf_cases_set(cases, "path", s->folder);
    mf_cases_set(cases, "series", s->about.series);
    mf_cases_set(cases, "number", s->about.number);
    mf_cases_set(cases, "modality", s->about.modality);
    mf_cases_set(cases, "description", s->about.description);
    mf_cases_set(cases, "patient", s->about.patient);
}

/* Without the slashes at its end: ids begin with the last name of it. */
static const char *trimmed(mf_cases *cases, const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    return mf_cases_text(cases, "%.*s", (int)n, folder);
}

typedef struct dicom_params {
    const char *dicom;
} dicom_params;

static mf_status read_cases(mf_cases *cases, const void *params)
{
    const dicom_params *p = params;
    const char *folder = trimmed(cases, p->dicom);
    search s = {.cases = cases, .good = true};
    struct stat st;
    if (stat(folder, &st) || !S_ISDIR(st.st_mode))
        return mf_fail(MF_NOT_FOUND, "no folder '%s'", folder);
    search_folder(&s, folder, "", NULL);
    if (s.good && !s.count)
        wrong(&s, mf_fail(MF_NOT_FOUND, "no DICOM image among the %zu files below '%s'", s.files,
                          folder));
    for (size_t i = 0; s.good && i < s.count; i++)
        add_case(cases, &s.list[i], folder);
    if (s.good && s.hidden)
        mf_cases_note(cases, "dicom %s: %zu case%s; %zu hidden file%s passed over, such as %s",
                      folder, s.count, s.count == 1 ? "" : "s", s.hidden, s.hidden == 1 ? "" : "s",
                      s.a_hidden);
    free(s.list);
    return MF_OK;
}

MF_CASE_SOURCE(
    dicom_cases, "dicom", "A case for each DICOM series below a folder.", read_cases,
    MF_PARAMETERS(dicom_params, MF_PATH(dicom_params, dicom, NULL,
                                        "The folder; it is searched with all folders in it.")),
    MF_COLUMNS({"series", "Series Instance UID (0020,000E)."},
               {"number", "Series Number (0020,0011)."}, {"modality", "Modality (0008,0060)."},
               {"description", "Series Description (0008,103E)."},
               {"patient", "Patient ID (0010,0020)."}),
    .help =
        "`path` is the folder of the series: volume.load takes it with the column `series`. "
        "The id is its path below the folder that is searched, with the series number behind it "
        "where a folder holds several.");
