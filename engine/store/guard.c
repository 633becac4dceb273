/* guard.c - what is seen of a store's files before SQLite opens one of them.
 *
 * A cache may come from anybody, and SQLite believes what lies beside a database. A journal that
 * was left behind is rolled back, and at its end it may name another file, the super-journal of a
 * transaction over several databases: SQLite then reads that file and deletes it. massflow has no
 * such transactions, so a journal that names one was made by somebody else. Nothing here opens a
 * database: closing a file drops all locks that the process has on it (fcntl(2)), SQLite's as well.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL 16          /* bytes at a journal's end: length of the name, its sum, the magic */
#define MOST_NAME 65536u /* bytes; SQLite takes a few hundred */

static uint32_t big32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* ---- journals -------------------------------------------------------------------------------- */

/* The sum of a name is that of its characters, which have a sign on some machines. */
static bool sum_fits(const uint8_t *name, uint32_t size, uint32_t sum)
{
    uint32_t plain = 0, with_sign = 0;
    for (uint32_t i = 0; i < size; i++) {
        plain += name[i];
        with_sign += (uint32_t)(int32_t)(int8_t)name[i];
    }
    return sum == plain || sum == with_sign;
}

/* As SQLite reads it (readSuperJournal in its pager.c). */
static mf_status read_super(int file, const char *path, int64_t size, char **name)
{
    static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    uint8_t tail[TAIL];
    if (size < TAIL || pread(file, tail, TAIL, size - TAIL) != TAIL ||
        memcmp(tail + 8, magic, sizeof magic))
        return MF_OK;
    uint32_t length = big32(tail), sum = big32(tail + 4);
    if (length == 0 || length > MOST_NAME || (int64_t)length > size - TAIL)
        return MF_OK;
    uint8_t *bytes = malloc(length + 1);
    if (!bytes)
        return mf_no_memory(length + 1, "looking at '%s'", path);
    if (pread(file, bytes, length, size - TAIL - (int64_t)length) != (ssize_t)length ||
        !sum_fits(bytes, length, sum)) {
        free(bytes);
        return MF_OK;
    }
    bytes[length] = 0;
    *name = (char *)bytes;
    return MF_OK;
}

mf_status mf__journal_super(const char *path, char **name)
{
    struct stat st;
    *name = NULL;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? MF_OK
                               : mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    mf_status status = MF_OK;
    if (fstat(file, &st) != 0)
        status = mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (S_ISREG(st.st_mode))
        status = read_super(file, path, (int64_t)st.st_size, name);
    close(file);
    return status;
}

static mf_status check_journal(const char *path)
{
    char *name;
    MF_TRY(mf__journal_super(path, &name));
    if (!name)
        return MF_OK;
    free(name); /* whoever wrote it chose what a message would show */
    return mf_hint(
        mf_fail(MF_INVALID,
                "'%s' names another file, which SQLite would delete; massflow writes no "
                "journal like that",
                path),
        "use another cache; or delete that journal, which belongs to no run, and look with "
        "`massflow cache verify` at what is there");
}

/* ---- files ----------------------------------------------------------------------------------- */

static mf_status check_kind(const char *path, bool writing)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? MF_OK
                               : mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return mf_hint(mf_fail(MF_INVALID, "'%s' is a link", path),
                       "a cache's files are never links, its folder may be one: put the folder "
                       "where the files shall lie");
    if (!S_ISREG(st.st_mode))
        return mf_fail(MF_INVALID, "'%s' is not a regular file", path);
    if (writing && st.st_nlink > 1)
        return mf_hint(mf_fail(MF_INVALID,
                               "'%s' has another name as well (a hard link), and would be changed "
                               "under both",
                               path),
                       "give the cache a copy of its own: cp FILE COPY && mv COPY FILE");
    return MF_OK;
}

mf_status mf__guard(const char *path, bool writing)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    for (int i = 0; i < 4; i++) {
        char *name;
        if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
            return mf_no_memory(0, "opening '%s'", path);
        mf_status status = check_kind(name, writing);
        if (!status && i == 1)
            status = check_journal(name);
        free(name);
        MF_TRY(status);
    }
    return MF_OK;
}

bool mf__file_empty(const char *path, const char *suffix)
{
    char *name;
    struct stat s;
    if (asprintf(&name, "%s%s", path, suffix) < 0)
        return false;
    bool empty = lstat(name, &s) != 0 || s.st_size == 0;
    free(name);
    return empty;
}
