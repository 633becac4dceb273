/* found.c - scans on disk: a file, a folder of DICOM files, or a glob with "{id}". */
#include "graph/cases/found.h"
#include "graph/data/graph_private.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <massflow/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The name without folder and suffix: "a/b.nii.gz" is "b". A folder keeps its dots. */
const char *mf__stem_of(mf_arena *arena, const char *path)
{
    static const char *const doubled[] = {".gz", ".bz2", ".zst"};
    struct stat st;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const char *slash = memrchr(path, '/', length);
    const char *name = slash ? slash + 1 : path;
    char *stem = mf_arena_copy_n(arena, name, (size_t)(path + length - name));
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return stem;
    char *dot = strrchr(stem, '.');
    for (size_t i = 0; dot && i < sizeof doubled / sizeof *doubled; i++)
        if (!strcmp(dot, doubled[i]) && dot != stem) {
            *dot = 0;
            break;
        }
    dot = strrchr(stem, '.');
    if (dot && dot != stem)
        *dot = 0;
    return stem;
}

/* A DICOM file has "DICM" behind a preamble of 128 bytes (PS3.10, 7.1). Older files have none, and
 * are told by their suffix. */
static bool is_dicom(const char *path, const char *name)
{
    char magic[4] = "";
    size_t length = strlen(name);
    FILE *file;
    int64_t size;
    mf_error_free(mf_file_open(path, &file, &size));
    if (!file)
        return false;
    bool yes =
        !fseek(file, 128, SEEK_SET) && fread(magic, 1, 4, file) == 4 && !memcmp(magic, "DICM", 4);
    fclose(file);
    return yes || (length > 4 && !strcasecmp(name + length - 4, ".dcm"));
}

static mf_status unreadable(const char *folder, int number)
{
    return mf_fail(MF_IO, "cannot read the folder %s: %s", folder, strerror(number));
}

static mf_status look_for_dicom(const char *folder, bool *holds)
{
    DIR *stream = opendir(folder);
    bool yes = false;
    if (!stream)
        return unreadable(folder, errno);
    for (struct dirent *e; !yes && (e = readdir(stream));) {
        struct stat st;
        mf_text path = {0};
        mf_text_add(&path, "%s/%s", folder, e->d_name);
        yes = !stat(path.data, &st) && S_ISREG(st.st_mode) && is_dicom(path.data, e->d_name);
        free(path.data);
    }
    closedir(stream);
    *holds = yes;
    return MF_OK;
}

static mf_status check_scan(const char *path)
{
    struct stat st;
    bool fits = true;
    if (stat(path, &st))
        return mf_fail(MF_NOT_FOUND, "no file or folder '%s'", path);
    if (S_ISDIR(st.st_mode))
        MF_TRY(look_for_dicom(path, &fits));
    if (!fits)
        return mf_fail(MF_INVALID,
                       "the folder '%s' holds no DICOM files; a scan is a file, a folder of DICOM "
                       "files, or a glob such as 'scans/*.nii.gz'",
                       path);
    return MF_OK;
}

/* Whether `path` fits `pattern`, in which {id} stands for any text without a slash; the shortest
 * such text, the same at each {id}. *id is NULL until the first {id} is met. */
static bool fits(const char *pattern, const char *path, const char **id, size_t *length)
{
    for (;; pattern++, path++) {
        if (!*pattern)
            return !*path;
        if (!strncmp(pattern, "{id}", 4)) {
            if (*id)
                return !strncmp(path, *id, *length) &&
                       fits(pattern + 4, path + *length, id, length);
            for (size_t n = 1; path[n - 1] && path[n - 1] != '/'; n++) {
                *id = path;
                *length = n;
                if (fits(pattern + 4, path + n, id, length))
                    return true;
            }
            *id = NULL;
            return false;
        }
        if (*pattern == '*') {
            while (pattern[1] == '*')
                pattern++;
            for (size_t n = 0;; n++) {
                if (fits(pattern + 1, path + n, id, length))
                    return true;
                if (!path[n] || path[n] == '/')
                    return false;
            }
        }
        const char *close = *pattern == '[' ? strchr(pattern + 2, ']') : NULL;
        if (close && close - pattern < 60) { /* a set, as in [0-9] */
            char set[64], one[2] = {*path, 0};
            memcpy(set, pattern, (size_t)(close + 1 - pattern));
            set[close + 1 - pattern] = 0;
            if (!*path || fnmatch(set, one, 0))
                return false;
            pattern = close;
        } else if (*pattern == '?' ? !*path || *path == '/' : *pattern != *path) {
            return false;
        }
    }
}

static mf_status add(mf_arena *arena, const char *pattern, bool by_id, char *path, found *f)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    if (!mf_path_plain(path))
        return mf_hint(mf_fail(MF_INVALID, "the name of '%s' has a control character", path),
                       "rename it: such a name can pretend to be a message");
    MF_TRY(check_scan(path));
    const char *id = NULL;
    size_t id_length = 0;
    f->path = mf_arena_copy(arena, path);
    if (by_id && fits(pattern, f->path, &id, &id_length) && id)
        f->id = mf_arena_copy_n(arena, id, id_length);
    else
        f->id = mf__stem_of(arena, f->path);
    return MF_OK;
}

/* Matching tries all ways to share a name among the stars of a pattern. */
#define MOST_STARS 8

/* The pattern as glob(3) has it: each {id} as a star, several stars in a row as one. */
static mf_status star_pattern(const char *pattern, mf_text *stars)
{
    size_t count = 0;
    for (const char *c = pattern; *c;) {
        bool id = !strncmp(c, "{id}", 4);
        const char *one = id ? "*" : c;
        bool again = *one == '*' && stars->length && stars->data[stars->length - 1] == '*';
        count += *one == '*' && !again;
        if (!again)
            mf_text_add_n(stars, one, 1);
        c += id ? 4 : 1;
    }
    return count <= MOST_STARS ? MF_OK
                               : mf_fail(MF_INVALID, "'%s' has %zu stars and {id}; %d are the most",
                                         pattern, count, MOST_STARS);
}

/* base/pattern with the special characters of `base` written as sets: its name means itself. */
static const char *escaped(mf_arena *arena, const char *base, const char *pattern)
{
    mf_text text = {0};
    for (; *base; base++)
        mf_text_add(&text, strchr("*?[", *base) ? "[%c]" : "%c", *base);
    mf_text_add(&text, "/%s", pattern);
    char *copy = mf_arena_copy(arena, text.data);
    free(text.data);
    return copy;
}

/* Whether a star or the like stands for the dot that a name in `path` begins with: the file is
 * hidden, such as the ._NAME that macOS puts beside each file on foreign disks. *loop for "." and
 * "..", which are no files of the folder. */
static bool is_hidden(const char *stars, const char *path, bool *loop)
{
    bool hidden = false;
    while (*stars && *path) {
        size_t part = strcspn(path, "/");
        if (*path == '.' && *stars != '.') {
            hidden = true;
            *loop |= part == 1 || (part == 2 && path[1] == '.');
        }
        stars += strcspn(stars, "/");
        path += part;
        stars += strspn(stars, "/");
        path += strspn(path, "/");
    }
    return hidden;
}

/* Whether a pattern of `exclude` leaves the file out; counts it. */
static bool is_excluded(mf_arena *arena, scan_search *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < s->exclude_count; i++) {
        const char *pattern = s->exclude[i];
        bool whole = strchr(pattern, '/');
        if (whole && *pattern != '/')
            pattern = escaped(arena, s->exclude_base, pattern);
        if (!fnmatch(pattern, whole || !slash ? path : slash + 1, FNM_PATHNAME)) {
            s->excluded[i]++;
            return true;
        }
    }
    return false;
}

/* One path that the glob names. */
static mf_status take_path(mf_arena *arena, scan_search *s, const char *pattern, const char *stars,
                           char *path)
{
    bool by_id = strstr(pattern, "{id}"), loop = false;
    const char *id = NULL;
    size_t length;
    if (by_id && !fits(pattern, path, &id, &length))
        return MF_OK;
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    if (is_hidden(stars, path, &loop)) {
        const char *slash = strrchr(path, '/');
        if (!s->hidden && !loop)
            s->a_hidden = mf_arena_copy(arena, slash ? slash + 1 : path);
        s->hidden += !loop;
        return MF_OK;
    }
    if (is_excluded(arena, s, path))
        return MF_OK;
    return add(arena, pattern, by_id, path, &s->list[s->count++]);
}

/* glob(3) passes over a folder that it may not read, and the patients in it with it. It says so of
 * folders that it has to list; of those in which it looks for one name it does not.
 *
 * Its callback takes no argument of ours. */
static _Thread_local const char *listed; /* the pattern */
static _Thread_local mf_status not_listed;

/* Whether the folder is there, and is not one whose files would be passed over. */
static bool matters(const char *stars, const char *folder, int number)
{
    const char *slash = strrchr(folder, '/');
    bool loop = false;
    if (number == ENOENT || number == ENOTDIR || number == ELOOP)
        return false;
    return !is_hidden(stars, folder, &loop) && !mf_path_ignored(slash ? slash + 1 : folder);
}

static int on_folder(const char *path, int number)
{
    if (!not_listed && matters(listed, path, number))
        not_listed = mf_hint(unreadable(path, number),
                             "scans in it would be left out: narrow the pattern, or get the right "
                             "to read it");
    return not_listed != NULL;
}

static mf_status list(const char *stars, glob_t *g)
{
    listed = stars;
    int result = glob(stars, GLOB_PERIOD, on_folder, g);
    mf_status status = not_listed;
    not_listed = NULL;
    if (!status && result == GLOB_NOSPACE)
        status = mf_no_memory(0, "the files of '%s'", stars);
    return status;
}

/* `stars` up to `end` gives folders, in each of which glob looked for the next name. */
static mf_status check_way(const char *stars, const char *end, const char *next, size_t length)
{
    glob_t g = {0};
    struct stat st;
    char *folders = strndup(stars, (size_t)(end - stars));
    mf_status status = folders ? list(folders, &g) : mf_no_memory(0, "the files of '%s'", stars);
    for (size_t i = 0; i < g.gl_pathc && !status; i++) {
        mf_text path = {0};
        mf_text_add(&path, "%s/%.*s", g.gl_pathv[i], (int)length, next);
        if (lstat(path.data, &st))
            on_folder(g.gl_pathv[i], errno);
        free(path.data);
        status = not_listed;
    }
    not_listed = NULL;
    globfree(&g);
    free(folders);
    return status;
}

static mf_status check_ways(const char *stars)
{
    bool wild = false;
    for (const char *at = stars; *at;) {
        const char *end = strchrnul(at, '/');
        size_t length = (size_t)(end - at);
        bool is_wild =
            memchr(at, '*', length) || memchr(at, '?', length) || memchr(at, '[', length);
        if (wild && !is_wild && length)
            MF_TRY(check_way(stars, at - 1, at, length));
        wild = is_wild || (wild && !length);
        at = *end ? end + 1 : end;
    }
    return MF_OK;
}

/* glob(3) with each {id} as a star, then {id} is read off the paths that fit. */
static mf_status find_glob(mf_arena *arena, scan_search *s, const char *pattern)
{
    mf_text stars = {0};
    glob_t g = {0};
    mf_status status = star_pattern(pattern, &stars);
    if (!status)
        status = list(stars.data, &g);
    if (!status)
        status = check_ways(stars.data);
    if (!status) {
        s->list = mf_arena_alloc(arena, g.gl_pathc, sizeof *s->list);
        for (size_t i = 0; i < g.gl_pathc && !status; i++)
            status = take_path(arena, s, pattern, stars.data, g.gl_pathv[i]);
    }
    globfree(&g);
    free(stars.data);
    return status;
}

static mf_status found_nothing(const scan_search *s, const char *full)
{
    size_t excluded = 0;
    mf_status status;
    for (size_t i = 0; i < s->exclude_count; i++)
        excluded += s->excluded[i];
    if (excluded)
        status = mf_fail(MF_NOT_FOUND, "nothing is left of '%s': 'exclude' leaves out %zu file%s",
                         full, excluded, excluded == 1 ? "" : "s");
    else
        status = mf_fail(MF_NOT_FOUND, "no file matches '%s'", full);
    if (s->hidden)
        status = mf_hint(status, "%zu hidden file%s, such as %s, %s passed over", s->hidden,
                         s->hidden == 1 ? "" : "s", s->a_hidden, s->hidden == 1 ? "is" : "are");
    return status;
}

mf_status mf__find_scans(mf_arena *arena, scan_search *s)
{
    const char *pattern = s->pattern;
    char *full = *pattern == '/' ? mf_arena_copy(arena, pattern)
                                 : mf_arena_print(arena, "%s/%s", s->base, pattern);
    s->excluded = mf_arena_alloc(arena, s->exclude_count, sizeof *s->excluded);
    if (!access(full, F_OK)) {
        s->list = mf_arena_alloc(arena, 1, sizeof *s->list);
        if (!is_excluded(arena, s, full)) {
            s->count = 1;
            return add(arena, full, false, full, s->list);
        }
    } else if (!strpbrk(full, "*?[") && !strstr(full, "{id}")) {
        return mf_fail(MF_NOT_FOUND, "no file or folder '%s'", full);
    } else {
        MF_TRY(find_glob(arena, s, *pattern == '/' ? pattern : escaped(arena, s->base, pattern)));
    }
    return s->count ? MF_OK : found_nothing(s, full);
}
