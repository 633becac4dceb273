/* programs.c - see programs.h. */
#include "compute/programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "massflow program 1\n"
#define HEAD (sizeof MAGIC - 1 + 17) /* with the sum and its line end */
#define MOST_BYTES ((size_t)256 << 20)
#define KEPT_SECONDS (90 * 24 * 3600)
#define MARKED_SECONDS (24 * 3600) /* how exactly it is known when a program was last used */

struct mf_programs {
    char *path;
    int folder; /* open, so that nobody can put another in its place */
    atomic_flag swept;
};

/* Fowler, Noll, Vo: 64 bits, offset basis and prime of draft-eastlake-fnv. Against damage, not
 * against anybody: the folder's rights do that. */
static void sum(const uint8_t *bytes, size_t size, char hex[17])
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    snprintf(hex, 17, "%016llx", (unsigned long long)h);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static char *default_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path;
    int made;

    if (cache && cache[0] == '/')
        made = asprintf(&path, "%s/massflow/programs", cache);
    else if (home && home[0] == '/')
        made = asprintf(&path, "%s/.cache/massflow/programs", home);
    else
        return NULL;
    return made < 0 ? NULL : path;
}

static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    mkdir(path, 0700); /* opening it says what went wrong */
}

static mf_status open_folder(const char *path, int *folder)
{
    struct stat s;

    *folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*folder < 0 || fstat(*folder, &s) != 0)
        return mf_fail(MF_IO, "'%s': %s", path, strerror(errno));
    if (s.st_uid != geteuid() || (s.st_mode & 077) != 0)
        return mf_hint(mf_fail(MF_INVALID, "'%s' is not the user's alone", path),
                       "built programs are kept only in a folder of one's own: chmod 700");
    return MF_OK;
}

mf_programs *mf_programs_open(const char *folder, mf_status *why)
{
    mf_programs *p = calloc(1, sizeof *p);
    char *path = folder ? strdup(folder) : default_folder();
    mf_status status = MF_OK;

    if (p) {
        p->path = path;
        p->folder = -1;
        atomic_flag_clear(&p->swept);
    }
    if (!p)
        status = mf_no_memory(0, "built programs");
    else if (!path)
        status = mf_fail(MF_NOT_FOUND, "neither XDG_CACHE_HOME nor HOME names a folder");
    if (!status) {
        make_folders(path);
        status = open_folder(path, &p->folder);
    }
    if (status && p)
        mf_programs_free(p);
    else if (status)
        free(path);
    if (why)
        *why = status;
    else
        mf_error_free(status);
    return status ? NULL : p;
}

void mf_programs_free(mf_programs *p)
{
    if (!p)
        return;
    if (p->folder >= 0)
        close(p->folder);
    free(p->path);
    free(p);
}

const char *mf_programs_folder(const mf_programs *p)
{
    return p->path;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool is_key(const char *key)
{
    return *key && strspn(key, "0123456789abcdef") == strlen(key);
}

/* An open file of the user's that nobody else can write, or -1. */
static int open_own(const mf_programs *p, const char *key, size_t *size)
{
    struct stat s;
    int file = openat(p->folder, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (file < 0)
        return -1;
    if (fstat(file, &s) == 0 && S_ISREG(s.st_mode) && s.st_uid == geteuid() &&
        (s.st_mode & 022) == 0 && s.st_size > (off_t)HEAD && s.st_size <= (off_t)MOST_BYTES) {
        *size = (size_t)s.st_size;
        if (time(NULL) - s.st_mtime > MARKED_SECONDS)
            futimens(file, NULL);
        return file;
    }
    close(file);
    return -1;
}

static bool read_all(int file, uint8_t *to, size_t size)
{
    while (size) {
        ssize_t got = read(file, to, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static uint8_t *get(void *self, const char *key, size_t *size)
{
    const mf_programs *p = self;
    size_t all = 0;
    int file = is_key(key) ? open_own(p, key, &all) : -1;
    uint8_t *bytes;
    char hex[17];

    if (file < 0)
        return NULL;
    bytes = malloc(all);
    if (bytes && read_all(file, bytes, all) && !memcmp(bytes, MAGIC, sizeof MAGIC - 1)) {
        sum(bytes + HEAD, all - HEAD, hex);
        if (!memcmp(bytes + sizeof MAGIC - 1, hex, 16) && bytes[HEAD - 1] == '\n') {
            close(file);
            *size = all - HEAD;
            memmove(bytes, bytes + HEAD, *size);
            return bytes;
        }
    }
    close(file);
    free(bytes);
    return NULL;
}

static bool write_all(int file, const void *from, size_t size)
{
    const char *at = from;

    while (size) {
        ssize_t done = write(file, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* Removes what was not used for long, and what a writer that died left. Once a process. */
static void sweep(mf_programs *p)
{
    int copy = dup(p->folder);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    struct stat s;
    time_t now = time(NULL);

    if (!dir && copy >= 0)
        close(copy);
    while (dir && (entry = readdir(dir))) {
        bool left = entry->d_name[0] == '.' && entry->d_name[1] && entry->d_name[1] != '.';
        if ((!left && !is_key(entry->d_name)) ||
            fstatat(p->folder, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (now - s.st_mtime > (left ? MARKED_SECONDS : KEPT_SECONDS))
            unlinkat(p->folder, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

static void put(void *self, const char *key, const uint8_t *bytes, size_t size)
{
    mf_programs *p = self;
    char name[96], hex[17];
    uint64_t random;
    int file;
    bool good;

    if (!is_key(key) || strlen(key) > 64 || size > MOST_BYTES - HEAD)
        return;
    if (!atomic_flag_test_and_set(&p->swept))
        sweep(p);
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return;
    snprintf(name, sizeof name, ".%s.%016llx", key, (unsigned long long)random);
    file = openat(p->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    sum(bytes, size, hex);
    hex[16] = '\n';
    good = write_all(file, MAGIC, sizeof MAGIC - 1) && write_all(file, hex, 17) &&
           write_all(file, bytes, size);
    if (close(file) != 0 || !good || renameat(p->folder, name, p->folder, key) != 0)
        unlinkat(p->folder, name, 0);
}

mf_binary_store mf_programs_store(mf_programs *programs)
{
    return (mf_binary_store){programs, get, put};
}
