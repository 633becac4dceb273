/* trust.c - see trust.h.
 *
 * The list: a line each, the owner's number, a blank and the real path, in which a line's end is \n
 * and a backslash \\. A line that begins with # is for people.
 *
 * Whose a cache is: its folder's owner decides. A file in it may belong to another one: SQLite's
 * files belong to whoever wrote first, and who may write there is said by the folder's mode. So,
 * for a user who is not the folder's owner, the folder has to be trusted by name. For its owner,
 * files of others are right where the group may write and not everybody. Root's folders are used as
 * they are, as root can change massflow itself, unless others may write there. */
#include "store/trust.h"
#include "base/path.h"

#include <massflow/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES (1 << 20) /* of the list */
#define HEAD                                                                                       \
    "# Caches of other owners that massflow uses: uid and real path (massflow cache trust).\n"

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the list of trusted caches");
}

void mf_trusted_free(mf_trusted *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++)
        free(list[i].path);
    free(list);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The number that stands for all owners that can't be named here: proc(5). */
static uid_t overflow_uid(void)
{
    unsigned value = 65534;
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
    if (file && fscanf(file, "%u", &value) != 1)
        value = 65534;
    if (file)
        fclose(file);
    return (uid_t)value;
}

char *mf_owner_text(uid_t owner)
{
    char buffer[4096], *text = NULL;
    struct passwd entry, *found = NULL;
    int made;
    if (getpwuid_r(owner, &entry, buffer, sizeof buffer, &found) == 0 && found && *found->pw_name)
        made = asprintf(&text, "%s (uid %lu)", found->pw_name, (unsigned long)owner);
    else
        made = asprintf(&text, "uid %lu", (unsigned long)owner);
    return made < 0 ? NULL : text;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* The folder and the file in it; made where they are missing and `make`. */
static mf_status list_path(bool make, char **folder, char **path)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int made = 0;
    *folder = *path = NULL;
    if (config && config[0] == '/')
        made = asprintf(folder, "%s/massflow", config);
    else if (home && home[0] == '/')
        made = asprintf(folder, "%s/.config/massflow", home);
    else
        return mf_fail(MF_NOT_FOUND,
                       "neither XDG_CONFIG_HOME nor HOME names a folder for the list of "
                       "trusted caches");
    if (made < 0) {
        *folder = NULL;
        return no_memory();
    }
    for (char *p = *folder + 1; make && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(*folder, 0700); /* opening it says what went wrong */
        *p = '/';
    }
    if (make)
        mkdir(*folder, 0700);
    if (asprintf(path, "%s/trusted", *folder) >= 0)
        return MF_OK;
    free(*folder);
    *folder = *path = NULL;
    return no_memory();
}

static mf_status wrong_line(const char *path, int line)
{
    return mf_hint(mf_fail(MF_INVALID, "%s:%d: is not a uid and path", path, line),
                   "delete the line; `massflow cache trust DIR` writes it anew");
}

/* One line without its end into *entry; in place. */
static bool parse_line(char *line, mf_trusted *entry)
{
    char *end;
    errno = 0;
    unsigned long owner = strtoul(line, &end, 10);
    if (end == line || *line == '-' || errno || owner > UINT32_MAX || *end != ' ' || end[1] != '/')
        return false;
    char *to = end + 1;
    for (const char *from = to; (*to = *from); from++, to++) {
        if (*from != '\\')
            continue;
        from++;
        if (*from != 'n' && *from != '\\')
            return false;
        *to = *from == 'n' ? '\n' : '\\';
    }
    *entry = (mf_trusted){(uid_t)owner, strdup(end + 1)};
    return entry->path != NULL;
}

static mf_status parse(const char *path, char *text, mf_trusted **list, size_t *count)
{
    int number = 1;
    for (char *line = text, *end; *line; line = end, number++) {
        end = strchrnul(line, '\n');
        if (*end)
            *end++ = '\0';
        if (*line == '#' || !*line)
            continue;
        mf_trusted *grown = mf_list_more(*list, *count, sizeof *grown);
        if (!grown)
            return no_memory();
        *list = grown;
        if (!parse_line(line, &grown[*count]))
            return wrong_line(path, number);
        ++*count;
    }
    return MF_OK;
}

/* Whether nobody else has written the list: it is the user's own, or, where a file system gives all
 * files to one owner, that of the folder that the user named. Root goes by nobody else's list. */
static bool is_own(const char *path, uid_t owner)
{
    struct stat s;
    if (owner == geteuid())
        return true;
    const char *slash = strrchr(path, '/');
    char *folder = geteuid() && slash ? strndup(path, (size_t)(slash - path)) : NULL;
    bool own = folder && stat(folder, &s) == 0 && s.st_uid == owner && (s.st_mode & 022) == 0;
    free(folder);
    return own;
}

/* The whole file, for free(); NULL where there is none. */
static mf_status read_list(const char *path, char **text)
{
    struct stat s;
    *text = NULL;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? MF_OK
                   : mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    mf_status status = MF_OK;
    if (fstat(file, &s) != 0)
        status = mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (!S_ISREG(s.st_mode) || (s.st_mode & 022) != 0 || !is_own(path, s.st_uid))
        status = mf_hint(mf_fail(MF_INVALID, "'%s' is not the user's alone", path),
                         "it says whose results are used: chmod 600, or delete it");
    else if (s.st_size > MOST_BYTES)
        status = mf_fail(MF_INVALID, "'%s' is too large for a list of trusted caches", path);
    else if (!(*text = calloc(1, (size_t)s.st_size + 1)))
        status = no_memory();
    else if (read(file, *text, (size_t)s.st_size) != (ssize_t)s.st_size)
        status = mf_fail(MF_IO, "cannot read '%s'", path);
    close(file);
    if (status) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static mf_status load(const char *path, mf_trusted **list, size_t *count)
{
    char *text;
    *list = NULL;
    *count = 0;
    MF_TRY(read_list(path, &text));
    mf_status status = text ? parse(path, text, list, count) : MF_OK;
    free(text);
    if (status) {
        mf_trusted_free(*list, *count);
        *list = NULL;
        *count = 0;
    }
    return status;
}

mf_status mf_trust_list(mf_trusted **list, size_t *count)
{
    char *folder, *path;
    *list = NULL;
    *count = 0;
    MF_TRY(list_path(false, &folder, &path));
    mf_status status = load(path, list, count);
    free(folder);
    free(path);
    return status;
}

static bool print_list(FILE *file, const mf_trusted *list, size_t count)
{
    fputs(HEAD, file);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%lu ", (unsigned long)list[i].owner);
        for (const char *c = list[i].path; *c; c++)
            if (*c == '\n' || *c == '\\')
                fprintf(file, "\\%c", *c == '\n' ? 'n' : '\\');
            else
                fputc(*c, file);
        fputc('\n', file);
    }
    return !ferror(file);
}

/* Whole or not at all: a new file takes the old one's place. */
static mf_status save(const char *path, const mf_trusted *list, size_t count)
{
    char *made;
    if (asprintf(&made, "%s.XXXXXX", path) < 0)
        return no_memory();
    int file = mkostemp(made, O_CLOEXEC); /* mode 0600 */
    FILE *stream = file < 0 ? NULL : fdopen(file, "w");
    bool good = stream && print_list(stream, list, count) && fflush(stream) == 0 &&
                fsync(fileno(stream)) == 0;
    int failed = good ? 0 : errno;
    if (stream)
        fclose(stream);
    else if (file >= 0)
        close(file);
    if (good && rename(made, path) != 0) {
        failed = errno;
        good = false;
    }
    if (!good && file >= 0)
        remove(made);
    free(made);
    return good ? MF_OK : mf_fail(MF_IO, "cannot write '%s': %s", path, strerror(failed));
}

/* ---- changing it ----------------------------------------------------------------------------- */

/* Out of the list; the others move up. */
static bool drop(mf_trusted *list, size_t *count, const char *path)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!strcmp(list[i].path, path))
            free(list[i].path);
        else
            list[kept++] = list[i];
    bool dropped = kept < *count;
    *count = kept;
    return dropped;
}

static bool append(mf_trusted **list, size_t *count, uid_t owner, const char *path)
{
    mf_trusted *grown = mf_list_more(*list, *count, sizeof *grown);
    if (!grown)
        return false;
    *list = grown;
    grown[*count] = (mf_trusted){owner, strdup(path)};
    return grown[*count].path && ++*count;
}

/* Takes `path` out and, with `owner`, adds it anew. */
static mf_status change(const char *path, const uid_t *owner, bool *was)
{
    char *folder, *file;
    mf_trusted *list;
    size_t count;
    MF_TRY(list_path(true, &folder, &file));
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* of two that change it */
    mf_status status =
        lock < 0 ? mf_fail(MF_IO, "cannot open '%s': %s", folder, strerror(errno)) : MF_OK;
    if (!status)
        flock(lock, LOCK_EX);
    if (!status)
        status = load(file, &list, &count);
    if (!status) {
        *was = drop(list, &count, path);
        if (owner && !append(&list, &count, *owner, path))
            status = no_memory();
        if (!status)
            status = save(file, list, count);
        mf_trusted_free(list, count);
    }
    if (lock >= 0)
        close(lock);
    free(folder);
    free(file);
    return status;
}

mf_status mf_trust_add(const char *dir, mf_trusted *entry)
{
    struct stat s;
    bool was;
    *entry = (mf_trusted){0};
    char *path = realpath(dir, NULL);
    if (!path || stat(path, &s) != 0) {
        mf_status status = mf_fail(errno == ENOMEM ? MF_NO_MEMORY : MF_NOT_FOUND, "'%s': %s", dir,
                                   strerror(errno));
        free(path);
        return status;
    }
    mf_status status = S_ISDIR(s.st_mode)
                           ? change(path, &s.st_uid, &was)
                           : mf_fail(MF_INVALID, "'%s' is not a folder of a cache", dir);
    if (status)
        free(path);
    else
        *entry = (mf_trusted){s.st_uid, path};
    return status;
}

mf_status mf_trust_forget(const char *dir, bool *was)
{
    char *path = realpath(dir, NULL); /* of what is not there any more, the words themselves */
    mf_status status = change(path ? path : dir, NULL, was);
    free(path);
    return status;
}

/* ---- the question ---------------------------------------------------------------------------- */

static mf_status is_listed(const char *dir, uid_t owner, bool *listed)
{
    mf_trusted *list;
    size_t count;
    *listed = false;
    mf_status status = mf_trust_list(&list, &count);
    if (status && mf_error_code(status) == MF_NOT_FOUND) { /* nowhere to keep one */
        mf_error_free(status);
        return MF_OK;
    }
    MF_TRY(status);
    char *path = realpath(dir, NULL);
    for (size_t i = 0; path && i < count; i++)
        *listed = *listed || (list[i].owner == owner && !strcmp(list[i].path, path));
    mf_trusted_free(list, count);
    free(path);
    return MF_OK;
}

/* The first file of the cache that is neither the user's nor root's; NULL where there is none. */
static const char *foreign_file(const char *dir, uid_t *owner)
{
    static const char *const names[] = {"cache.db",  "cache.db-wal",      "cache.db-journal",
                                        "chunks.db", "chunks.db-journal", "chunks.db-wal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path;
        struct stat s;
        if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
            return NULL;
        bool foreign = lstat(path, &s) == 0 && s.st_uid != geteuid() && s.st_uid != 0;
        free(path);
        if (!foreign)
            continue;
        *owner = s.st_uid;
        return names[i];
    }
    return NULL;
}

static mf_status refuse(const char *dir, const char *file, uid_t owner, bool shared)
{
    char *real = realpath(dir, NULL), *word = mf_shell_word(real ? real : dir, false);
    char *who = mf_owner_text(owner);
    mf_status status;
    if (!who)
        status = no_memory();
    else if (shared)
        status = mf_fail(MF_INVALID, "the cache '%s' belongs to %s, and others may write to it",
                         dir, who);
    else
        status = mf_fail(MF_INVALID, "%s%s%sthe cache '%s' belongs to %s, not to you",
                         file ? "'" : "", file ? file : "", file ? "' in " : "", dir, who);
    if (who && owner == overflow_uid())
        status =
            mf_hint(status,
                    "whoever can write there decides what your runs find; that number stands for "
                    "owners that this machine or container does not know. If it is a cache of "
                    "yours, or of people whose results you take: massflow cache trust %s",
                    word);
    else if (who)
        status = mf_hint(status,
                         "whoever can write there decides what your runs find. If you take their "
                         "results: massflow cache trust %s",
                         word);
    free(real);
    free(word);
    free(who);
    return status;
}

mf_status mf_trust_check(const char *dir)
{
    struct stat s;
    uid_t owner = 0, me = geteuid();
    bool listed;
    if (stat(dir, &s) != 0 || !S_ISDIR(s.st_mode))
        return MF_OK; /* what it is instead is said by whoever opens it */
    const char *file = foreign_file(dir, &owner);
    bool others = s.st_mode & 022, group_alone = (s.st_mode & 022) == 020;
    if (s.st_uid == me && (!file || group_alone))
        return MF_OK;
    if (s.st_uid == 0 && !others && !file)
        return MF_OK;
    MF_TRY(is_listed(dir, s.st_uid, &listed));
    if (listed)
        return MF_OK;
    if (s.st_uid != me && s.st_uid != 0)
        return refuse(dir, NULL, s.st_uid, false);
    return refuse(dir, file, file ? owner : s.st_uid, !file);
}
