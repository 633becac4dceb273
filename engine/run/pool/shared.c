/* shared.c - see shared.h. */
#include "run/pool/shared.h"

#include "base/arena.h"
#include "store/digest.h"

#include <massflow/file.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_RUNS 100 /* on one cache at one time */
#define LAST_LINES 5
#define LAST_BYTES 2000

static mf_status cannot(const char *what, const char *path)
{
    mf_status status = mf_fail(MF_IO, "cannot %s %s: %s", what, path, strerror(errno));
    return mf_hint(status, "workers on other hosts need it; the key 'folder' of the file of pools "
                           "names another place");
}

/* Makes a folder and those above it. */
static mf_status make_folder(const char *path, mode_t mode)
{
    char *part = strdup(path);
    if (!part)
        return mf_no_memory(0, "a path");
    for (char *c = part + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = 0;
        if (mkdir(part, 0755) && errno != EEXIST)
            break;
        *c = '/';
    }
    mf_status status =
        mkdir(path, mode) && errno != EEXIST ? cannot("make the folder", path) : MF_OK;
    free(part);
    return status;
}

/* What goes into lines of a script without doubt. */
static mf_status check_path(const char *path)
{
    if (!path[strcspn(path, "\"\\%`$")] && mf_path_plain(path))
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "%s: a script of Slurm can't name this folder", path),
                   "choose one without \" \\ %% ` and $: 'folder' in the file of pools");
}

static char *base_folder(const char *base)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL, cwd[4096];
    int made;
    if (base && *base == '/')
        made = asprintf(&path, "%s", base);
    else if (base)
        made = asprintf(&path, "%s/%s", getcwd(cwd, sizeof cwd) ? cwd : "", base);
    else if (state && *state == '/')
        made = asprintf(&path, "%s/massflow/workers", state);
    else
        made = asprintf(&path, "%s/.local/state/massflow/workers", home ? home : "");
    return made < 0 ? NULL : path;
}

/* The digits that tell runs of one cache from those of others. */
static mf_status key_of(const char *cache, char key[9])
{
    char *real = realpath(cache, NULL), hex[MF_HEX_SIZE];
    const char *text = real ? real : cache;
    mf_digest_hex(text, strlen(text), hex);
    memcpy(key, hex, 8);
    key[8] = 0;
    free(real);
    return MF_OK;
}

static mf_status fill(mf_shared *s, const char *base, const char *key)
{
    free(s->path);
    free(s->key);
    free(s->token);
    free(s->log);
    s->path = s->token = s->log = NULL;
    s->key = strdup(key);
    if (!s->key || asprintf(&s->path, "%s/%s", base, key) < 0 ||
        asprintf(&s->token, "%s/token", s->path) < 0 || asprintf(&s->log, "%s/log", s->path) < 0)
        return mf_no_memory(0, "a path");
    return MF_OK;
}

/* Scripts that lie there are run as this user, and its name can be foretold: where others may write
 * beside it, somebody may have made it before. */
static mf_status check_own(const char *path)
{
    struct stat about;
    if (lstat(path, &about))
        return cannot("look at", path);
    if (S_ISDIR(about.st_mode) && about.st_uid == geteuid() && !(about.st_mode & 022))
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "%s is no folder that only this user can write to", path),
                   "remove it, or name another place: the key 'folder' of the file of pools");
}

/* Makes and locks one; MF_OK with lock below 0: another coordinator has it. */
static mf_status take(mf_shared *s)
{
    char *path;
    MF_TRY(make_folder(s->path, 0700));
    MF_TRY(check_own(s->path));
    MF_TRY(make_folder(s->log, 0700));
    if (asprintf(&path, "%s/lock", s->path) < 0)
        return mf_no_memory(0, "a path");
    mf_status status = MF_OK;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        status = cannot("write", path);
    else if (flock(s->lock, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            status = cannot("lock", path);
        close(s->lock);
        s->lock = -1;
    }
    free(path);
    return status;
}

static mf_status open_in(mf_shared *s, const char *base, const char *cache, bool look)
{
    char key[32];
    MF_TRY(check_path(base));
    MF_TRY(key_of(cache, key));
    MF_TRY(fill(s, base, key));
    if (look)
        return MF_OK;
    for (int i = 2; i <= MOST_RUNS; i++) {
        MF_TRY(take(s));
        if (s->lock >= 0)
            return MF_OK;
        snprintf(key + 8, sizeof key - 8, "-%d", i);
        MF_TRY(fill(s, base, key));
    }
    return mf_fail(MF_INVALID, "%d runs with workers are under way on this cache", MOST_RUNS);
}

mf_status mf_shared_open(const char *base, const char *cache, bool look, mf_shared **shared)
{
    char *folder = base_folder(base);
    *shared = calloc(1, sizeof **shared);
    mf_status status = folder && *shared ? MF_OK : mf_no_memory(0, "a folder");
    if (*shared)
        (*shared)->lock = -1;
    if (!status)
        status = open_in(*shared, folder, cache, look);
    free(folder);
    if (status) {
        mf_shared_free(*shared);
        *shared = NULL;
    }
    return status;
}

void mf_shared_free(mf_shared *s)
{
    if (!s)
        return;
    if (s->lock >= 0)
        close(s->lock);
    free(s->path);
    free(s->key);
    free(s->token);
    free(s->log);
    free(s);
}

/* ---- its files ------------------------------------------------------------------------------- */

char *mf_shared_address(const mf_shared *s)
{
    char *path, *text = NULL;
    size_t size;
    if (asprintf(&path, "%s/address", s->path) < 0)
        return NULL;
    mf_status status = mf_file_read(path, 4096, &text, &size);
    free(path);
    mf_error_free(status);
    if (text)
        text[strcspn(text, "\n")] = 0;
    if (text && !strchr(text, ':')) {
        free(text);
        text = NULL;
    }
    return text;
}

mf_status mf_shared_write(const mf_shared *s, const char *name, const char *text, char **path)
{
    char *aside = NULL;
    mf_status status = MF_OK;
    *path = NULL;
    if (asprintf(path, "%s/%s", s->path, name) < 0 ||
        asprintf(&aside, "%s/%s.%d", s->path, name, (int)getpid()) < 0) {
        *path = NULL;
        status = mf_no_memory(0, "a path");
    }
    FILE *file = status ? NULL : fopen(aside, "we");
    if (!status && !file)
        status = cannot("write", aside);
    if (file) {
        bool good = fputs(text, file) >= 0 && !fchmod(fileno(file), 0600);
        good = !fclose(file) && good;
        if (!good || rename(aside, *path))
            status = cannot("write", *path);
    }
    free(aside);
    if (status) {
        free(*path);
        *path = NULL;
    }
    return status;
}

mf_status mf_shared_note_address(const mf_shared *s, const char *address)
{
    char *line, *path;
    if (asprintf(&line, "%s\n", address) < 0)
        return mf_no_memory(0, "an address");
    mf_status status = mf_shared_write(s, "address", line, &path);
    free(line);
    free(path);
    return status;
}

/* The file of the pool that was written last. */
static char *newest(const mf_shared *s, const char *pool)
{
    DIR *dir = opendir(s->log);
    char *found = NULL;
    struct timespec best = {0};
    size_t length = strlen(pool);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat about;
        if (strncmp(e->d_name, pool, length) || e->d_name[length] != '-' ||
            fstatat(dirfd(dir), e->d_name, &about, 0) || !S_ISREG(about.st_mode) || !about.st_size)
            continue;
        if (found &&
            (about.st_mtim.tv_sec < best.tv_sec ||
             (about.st_mtim.tv_sec == best.tv_sec && about.st_mtim.tv_nsec <= best.tv_nsec)))
            continue;
        free(found);
        best = about.st_mtim;
        found = strdup(e->d_name);
    }
    if (dir)
        closedir(dir);
    return found;
}

char *mf_shared_last_words(const mf_shared *s, const char *pool, char **file)
{
    char *name = newest(s, pool), bytes[LAST_BYTES + 1];
    FILE *in;
    mf_text text = {0};
    int64_t size;
    *file = NULL;
    if (!name || asprintf(file, "%s/%s", s->log, name) < 0) {
        free(name);
        *file = NULL;
        return NULL;
    }
    free(name);
    mf_status status = mf_file_open(*file, &in, &size);
    mf_error_free(status);
    if (status)
        return mf_text_take(&text);
    if (size > LAST_BYTES)
        fseeko(in, size - LAST_BYTES, SEEK_SET);
    size_t got = fread(bytes, 1, LAST_BYTES, in);
    fclose(in);
    while (got && (unsigned char)bytes[got - 1] <= ' ')
        got--;
    bytes[got] = 0;
    char *from = bytes + got;
    for (int lines = 0; from > bytes && lines < LAST_LINES; lines += *from == '\n')
        from--;
    from += *from == '\n';
    for (char *line = from, *rest = from; rest && *line;) {
        line = strsep(&rest, "\n");
        for (char *c = line; *c; c++)
            if ((unsigned char)*c < 32 || *c == 127)
                *c = ' ';
        mf_text_add(&text, "\n  | %s", line);
        line = rest ? rest : line;
    }
    return mf_text_take(&text);
}
