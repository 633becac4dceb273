/* written.c - see written.h. */
#include "run/output/written.h"
#include "base/path.h"

#include <massflow/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES ((off_t)64 << 20) /* a larger one is none of ours */
#define TIDY_BYTES ((size_t)4 << 20) /* from here on what is not needed is dropped now and then */
#define KEPT 3                       /* lines of a file */
#define DIGITS (MF_HEX_SIZE - 1)

typedef struct entry {
    const char *path, *digest; /* in the bytes of the record */
    size_t at;                 /* place in it */
} entry;

struct mf_written {
    int file; /* -1: there is none */
    char *why;
    char *bytes;
    size_t size;
    entry *entries; /* by path, the newest first */
    size_t count;
};

/* ---- the file -------------------------------------------------------------------------------- */

static char *record_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int made = -1;

    if (state && state[0] == '/')
        made = asprintf(&path, "%s/massflow/written", state);
    else if (home && home[0] == '/')
        made = asprintf(&path, "%s/.local/state/massflow/written", home);
    return made < 0 ? NULL : path;
}

static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0700); /* opening the file says what went wrong */
        *p = '/';
    }
}

static void unusable(mf_written *w, const char *path, const char *why)
{
    if (w->file >= 0)
        close(w->file);
    w->file = -1;
    if (asprintf(&w->why, "%s: %s", path, why) < 0)
        w->why = NULL;
}

static void open_file(mf_written *w)
{
    char *path = record_path();
    struct stat about;

    if (!path) {
        unusable(w, "the record of what was written",
                 "neither XDG_STATE_HOME nor HOME names a folder");
        return;
    }
    make_folders(path);
    w->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (w->file < 0 || fstat(w->file, &about) != 0)
        unusable(w, path, strerror(errno));
    else if (!S_ISREG(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & 022) != 0)
        unusable(w, path, "is not the user's alone");
    else if (about.st_size > MOST_BYTES)
        unusable(w, path, "is too large");
    else
        w->size = (size_t)about.st_size;
    free(path);
}

/* ---- its lines ------------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->path, y->path);

    return order ? order : (x->at < y->at) - (x->at > y->at);
}

/* In place. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == '\\' && (text[1] == 'n' || text[1] == '\\')) {
            *to++ = text[1] == 'n' ? '\n' : '\\';
            text++;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/* False where memory is short. */
static bool take_line(mf_written *w, char *line)
{
    entry *more = mf_list_more(w->entries, w->count, sizeof *more);
    if (!more)
        return false;
    w->entries = more;
    line[DIGITS] = '\0';
    unescape(line + DIGITS + 1);
    w->entries[w->count] = (entry){line + DIGITS + 1, line, w->count};
    w->count++;
    return true;
}

/* "DIGEST PATH": what is not such a line is passed over. */
static bool take_lines(mf_written *w)
{
    for (char *line = w->bytes, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (end - line < DIGITS + 2 || line[DIGITS] != ' ' ||
            strspn(line, "0123456789abcdef") != DIGITS)
            continue;
        if (!take_line(w, line))
            return false;
    }
    if (w->count)
        qsort(w->entries, w->count, sizeof *w->entries, by_path);
    return true;
}

/* False where memory is short: then nothing is known. */
static bool read_lines(mf_written *w)
{
    w->count = 0;
    w->bytes = malloc(w->size + 1);
    if (!w->bytes)
        return false;
    ssize_t got = pread(w->file, w->bytes, w->size, 0);
    w->size = got > 0 ? (size_t)got : 0;
    w->bytes[w->size] = '\0';
    if (take_lines(w))
        return true;
    w->count = 0;
    return false;
}

static void put_line(FILE *out, const char *digest, const char *path)
{
    fprintf(out, "%s ", digest);
    for (; *path; path++) {
        if (*path == '\n')
            fputs("\\n", out);
        else if (*path == '\\')
            fputs("\\\\", out);
        else
            fputc(*path, out);
    }
    fputc('\n', out);
}

static bool write_whole(int file, const char *bytes, size_t size)
{
    while (size) {
        ssize_t put = write(file, bytes, size);
        if (put < 0 && errno != EINTR)
            return false;
        bytes += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* Leaves the newest lines of each file that is still there, oldest first. The lock is held: nobody
 * adds one meanwhile. */
static void tidy(mf_written *w)
{
    char *text = NULL;
    size_t size;
    struct stat about;
    FILE *out = open_memstream(&text, &size);

    for (size_t i = 0, end; out && i < w->count; i = end) {
        for (end = i + 1; end < w->count && !strcmp(w->entries[end].path, w->entries[i].path);)
            end++;
        size_t kept = end - i < KEPT ? end - i : KEPT;
        if (lstat(w->entries[i].path, &about) != 0)
            continue;
        for (size_t k = kept; k-- > 0;)
            put_line(out, w->entries[i + k].digest, w->entries[i].path);
    }
    if (out && fclose(out) == 0 && ftruncate(w->file, 0) == 0 && !write_whole(w->file, text, size))
        unusable(w, "the record of what was written", strerror(errno));
    free(text);
}

/* ---- calls ----------------------------------------------------------------------------------- */

mf_written *mf_written_open(void)
{
    mf_written *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->file = -1;
    open_file(w);
    if (w->file < 0)
        return w;
    bool large = w->size > TIDY_BYTES && flock(w->file, LOCK_EX | LOCK_NB) == 0;
    bool whole = read_lines(w);
    if (large && whole)
        tidy(w);
    if (large && w->file >= 0)
        flock(w->file, LOCK_UN);
    if (!whole && w->file >= 0)
        unusable(w, "the record of what was written", "out of memory");
    return w;
}

void mf_written_free(mf_written *w)
{
    if (!w)
        return;
    if (w->file >= 0)
        close(w->file);
    free(w->why);
    free(w->entries);
    free(w->bytes);
    free(w);
}

const char *mf_written_why_not(const mf_written *w)
{
    return w->file < 0 ? w->why ? w->why : "out of memory" : NULL;
}

/* Whether a line says so. */
static bool has_line(const mf_written *w, const char *name, const char *digest)
{
    size_t low = 0, high = w->count;

    while (low < high) { /* the first of its path */
        size_t middle = low + (high - low) / 2;
        if (strcmp(w->entries[middle].path, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < w->count && !strcmp(w->entries[low].path, name); low++) {
        if (!strcmp(w->entries[low].digest, digest))
            return true;
    }
    return false;
}

/* What has been written since it was read. False where nothing has. */
static bool read_again(mf_written *w)
{
    struct stat about;

    if (w->file < 0 || fstat(w->file, &about) != 0 || (size_t)about.st_size == w->size ||
        about.st_size > MOST_BYTES)
        return false;
    free(w->bytes);
    w->size = (size_t)about.st_size;
    return read_lines(w);
}

bool mf_written_knows(mf_written *w, const char *path, const char *digest)
{
    char *name = mf_real_name(path);
    bool known =
        name && (has_line(w, name, digest) || (read_again(w) && has_line(w, name, digest)));

    free(name);
    return known;
}

/* A line that was cut off by a kill or a full disk is ended first. */
static bool add_text(int file, const char *text, size_t size)
{
    struct stat about;
    char last = '\n';

    if (fstat(file, &about) == 0 && about.st_size > 0 &&
        pread(file, &last, 1, about.st_size - 1) == 1 && last != '\n' &&
        !write_whole(file, "\n", 1))
        return false;
    return write_whole(file, text, size);
}

void mf_written_add(mf_written *w, const char *path, const char *digest)
{
    char *name = mf_real_name(path), *text = NULL;
    size_t size;
    FILE *out = name && w->file >= 0 ? open_memstream(&text, &size) : NULL;

    if (out) {
        put_line(out, digest, name);
        /* Where the file system has no locks, nobody tidies: a line goes to the end as it is. */
        bool whole = fclose(out) == 0, locked = whole && flock(w->file, LOCK_EX) == 0;
        if (whole && !add_text(w->file, text, size))
            unusable(w, "the record of what was written", strerror(errno));
        else if (locked)
            flock(w->file, LOCK_UN);
    }
    free(text);
    free(name);
}
