/* series.c - the source `dicom`: every series below a folder is a case.
 *
 * Files belong to one case that lie in one folder and have one Series Instance UID, for that is
 * what a stage can be told: the folder and which of its series. */
#include "graph/cases/cases.h"
#include "graph/cases/dicom.h"
#include "graph/data/report.h"

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
    mf_graph *g;
    const yaml *node;
    series *list;
    size_t count, room;
    size_t files; /* looked at */
    size_t hidden;
    const char *a_hidden;
    bool good;
} search;

static bool wrong(search *s, mf_status error)
{
    s->good = mf__graph_status(s->g, s->node, NULL, error);
    return false;
}

static void add_file(search *s, const char *path, const char *folder, const char *below,
                     size_t first)
{
    dicom_about about;
    bool is_dicom;
    mf_status error = mf__dicom_about_read(path, &about, &is_dicom);
    s->files++;
    if (error) {
        wrong(s, error);
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
    s->list = mf_grow(s->list, &s->room, s->count + 1, sizeof *s->list);
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
        s->a_hidden = mf_arena_copy(s->g->arena, name);
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
            char *path = mf_arena_print(s->g->arena, "%s/%s", folder, name);
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
                              *below ? mf_arena_print(s->g->arena, "%s/%s", below, name)
                                     : mf_arena_copy(s->g->arena, name),
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
static const char *name_series(mf_graph *g, const series *s, const char *root)
{
    const char *slash = strrchr(root, '/');
    const char *name = *s->below ? s->below : slash && slash[1] ? slash + 1 : root;
    name = mf__as_id(g->arena, name);
    return s->alone ? name
                    : mf_arena_print(g->arena, "%s-%s", name,
                                     *s->about.number ? s->about.number : s->about.series);
}

bool mf__read_dicom(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    search s = {.g = g, .node = node, .good = true};
    const char *folder;
    mf_place place = mf_yaml_place(node);
    if (!mf__source_folder(g, node, "dicom", &folder))
        return false;
    search_folder(&s, folder, "", NULL);
    if (s.good && !s.count)
        s.good = mf__graph_error(g, node, "no DICOM image among the %zu files below '%s'", s.files,
                                 folder);
    for (size_t i = 0; s.good && i < s.count; i++) {
        const series *x = &s.list[i];
        row *c = mf__new_row(g, r, &place, node->source->base, 6, e);
        c->from = mf_arena_print(g->arena, "%s, series %s", x->folder, x->about.series);
        mf__put(c, "path", x->folder);
        mf__put(c, "series", mf_arena_copy(g->arena, x->about.series));
        mf__put(c, "number", mf_arena_copy(g->arena, x->about.number));
        mf__put(c, "modality", mf_arena_copy(g->arena, x->about.modality));
        mf__put(c, "description", mf_arena_copy(g->arena, x->about.description));
        mf__put(c, "patient", mf_arena_copy(g->arena, x->about.patient));
        mf__finish_row(g, c, e, name_series(g, x, folder));
    }
    if (s.good && s.hidden)
        mf__add_passed(
            g, mf_arena_print(g->arena,
                              "dicom %s: %zu case%s; %zu hidden file%s passed over, such as %s",
                              folder, s.count, s.count == 1 ? "" : "s", s.hidden,
                              s.hidden == 1 ? "" : "s", s.a_hidden));
    free(s.list);
    return s.good;
}
