/* parts.c - see parts.h. */
#include "parts.h"

#include <massflow/memory.h>

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS_MOST 1000000

static mf_status no_memory(const char *header)
{
    return mf_no_memory(0, "the names of the files of %s", header);
}

/* "header" or "header:line", for errors. */
static void place_text(const char *header, int line, char text[4200])
{
    if (line)
        snprintf(text, 4200, "%s:%d", header, line);
    else
        snprintf(text, 4200, "%s", header);
}

/* The folder of a path, with its slash; "./" where it names none. The caller frees. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path + 1)) : strdup("./");
}

/* The header's folder as it is on disk, and that of the file behind the header where the header is
 * a link: a folder of links to both files of a scan is as good as the files themselves. */
static mf_status find_folders(part_list *l, const char *header)
{
    if (l->folder[0])
        return MF_OK;
    char *named = folder_of(header), *file = realpath(header, NULL);
    if (named && file) {
        l->folder[0] = realpath(named, NULL);
        l->folder[1] = folder_of(file);
    }
    bool found = l->folder[0] && l->folder[1];
    int why = errno;
    free(named);
    free(file);
    return found ? MF_OK : mf_fail(MF_IO, "%s: %s", header, strerror(why));
}

static bool inside(const char *file, const char *folder)
{
    size_t n = strlen(folder);
    while (n && folder[n - 1] == '/')
        n--;
    return !strncmp(file, folder, n) && file[n] == '/';
}

/* Whether the file at `path` may be read as a part, and can be. */
static mf_status check(const part_list *l, const char *header, int line, const char *name,
                       const char *path)
{
    char place[4200];
    struct stat about;
    place_text(header, line, place);
    const char *names = line ? "names" : "belongs to";
    char *file = realpath(path, NULL);
    if (!file)
        return mf_hint(mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO,
                               "%s: %s the file %s, which cannot be read: %s", place, names, name,
                               strerror(errno)),
                       "put the data file beside its header");
    bool within = inside(file, l->folder[0]) || inside(file, l->folder[1]);
    free(file);
    if (!within)
        return mf_hint(mf_fail(MF_INVALID, "%s: %s the file %s, which lies outside of its folder",
                               place, names, name),
                       line ? "put the data file beside its header, and write its name there "
                              "without a folder"
                            : "put both files into one folder");
    if (stat(path, &about) || !S_ISREG(about.st_mode))
        return mf_fail(MF_INVALID, "%s: %s %s, which is not a file", place, names, name);
    return MF_OK;
}

mf_status parts_add(part_list *l, const char *header, int line, const char *name)
{
    char place[4200], *path = NULL, *folder = NULL;
    place_text(header, line, place);
    if (!*name)
        return mf_fail(MF_CORRUPT, "%s: names no data file", place);
    if (l->count == PARTS_MOST)
        return mf_fail(MF_UNSUPPORTED, "%s: more than %d data files", place, PARTS_MOST);
    MF_TRY(find_folders(l, header));
    char **more = mf_list_more(l->path, l->count, sizeof *more);
    if (!more)
        return no_memory(header);
    l->path = more;
    if (*name == '/')
        path = strdup(name);
    else if ((folder = folder_of(header)) &&
             asprintf(&path, "%s%s", strcmp(folder, "./") ? folder : "", name) < 0)
        path = NULL;
    free(folder);
    if (!path)
        return no_memory(header);
    mf_status status = check(l, header, line, name, path);
    if (status) {
        free(path);
        return status;
    }
    l->path[l->count++] = path;
    return MF_OK;
}

/* A pattern's one number: "%d" with leading zeros by "0N" or ".N". The text before it ends at
 * *before, that behind it begins at *behind. */
static bool parse_pattern(const char *pattern, size_t *before, size_t *behind, int *digits,
                          bool *zeros)
{
    const char *at = pattern;
    bool found = false;
    for (; *at; at++) {
        if (*at != '%')
            continue;
        if (found)
            return false;
        found = true;
        *before = (size_t)(at - pattern);
        at++;
        *zeros = *at == '0' || *at == '.';
        at += *at == '.';
        *digits = 0;
        for (; isdigit((unsigned char)*at) && *digits < 100; at++)
            *digits = 10 * *digits + (*at - '0');
        if ((*at != 'd' && *at != 'i' && *at != 'u') || *digits > 20)
            return false;
        *behind = (size_t)(at + 1 - pattern);
    }
    return found;
}

mf_status parts_add_numbered(part_list *l, const char *header, int line, const char *pattern,
                             long long first, long long last, long long step)
{
    char place[4200];
    size_t before = 0, behind = 0;
    int digits = 0;
    bool zeros = false;
    place_text(header, line, place);
    if (!parse_pattern(pattern, &before, &behind, &digits, &zeros))
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: the pattern %s of data files is not understood",
                               place, pattern),
                       "a pattern holds one number, such as %%d or %%03d");
    const long long most = 1000000000;
    if (llabs(first) > most || llabs(last) > most || llabs(step) > most || step == 0 ||
        (step > 0 ? first > last : first < last))
        return mf_fail(MF_CORRUPT, "%s: numbers its data files from %lld to %lld by %lld", place,
                       first, last, step);
    for (long long i = first; step > 0 ? i <= last : i >= last; i += step) {
        char *name;
        int length =
            zeros
                ? asprintf(&name, "%.*s%0*lld%s", (int)before, pattern, digits, i, pattern + behind)
                : asprintf(&name, "%.*s%*lld%s", (int)before, pattern, digits, i, pattern + behind);
        if (length < 0)
            return no_memory(header);
        mf_status status = parts_add(l, header, line, name);
        free(name);
        MF_TRY(status);
    }
    return MF_OK;
}

void parts_free(part_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->path[i]);
    free(l->path);
    free(l->folder[0]);
    free(l->folder[1]);
    *l = (part_list){0};
}
