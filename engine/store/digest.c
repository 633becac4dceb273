/* digest.c - SHA-256 by libcrypto, of bytes, files and folders. Knows nothing of the store. */
#include "store/digest.h"
#include <massflow/file.h>
#include <massflow/memory.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_DEPTH 64 /* deeper is taken for links in a circle */
#define READ_BYTES ((size_t)1 << 20)

struct mf_digest {
    EVP_MD_CTX *context;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const EVP_MD *fetched;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!fetched)
        fetched = EVP_sha256(); /* which is fetched at each use */
}

/* Looking it up takes longer than hashing a key. */
static const EVP_MD *sha256(void)
{
    pthread_once(&once, fetch);
    return fetched;
}

mf_status mf_digest_new(mf_digest **digest)
{
    mf_digest *d = calloc(1, sizeof *d);
    *digest = NULL;
    if (d)
        d->context = EVP_MD_CTX_new();
    if (!d || !d->context || !EVP_DigestInit_ex(d->context, sha256(), NULL)) {
        mf_digest_free(d);
        return mf_no_memory(0, "a digest");
    }
    *digest = d;
    return MF_OK;
}

void mf_digest_free(mf_digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void mf_digest_add(mf_digest *digest, const void *bytes, size_t size)
{
    EVP_DigestUpdate(digest->context, bytes, size);
}

void mf_digest_add_int(mf_digest *digest, int64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    mf_digest_add(digest, bytes, sizeof bytes);
}

void mf_digest_add_text(mf_digest *digest, const char *text)
{
    size_t size = strlen(text);
    mf_digest_add_int(digest, (int64_t)size);
    mf_digest_add(digest, text, size);
}

void mf_digest_end(mf_digest *digest, uint8_t out[MF_DIGEST_BYTES])
{
    EVP_DigestFinal_ex(digest->context, out, NULL);
    EVP_DigestInit_ex(digest->context, NULL, NULL);
}

void mf_digest_end_hex(mf_digest *digest, char hex[MF_HEX_SIZE])
{
    uint8_t out[MF_DIGEST_BYTES];
    mf_digest_end(digest, out);
    mf_hex_encode(out, hex);
}

void mf_digest_bytes(const void *bytes, size_t size, uint8_t out[MF_DIGEST_BYTES])
{
    EVP_Digest(bytes, size, out, NULL, sha256(), NULL);
}

void mf_digest_hex(const void *bytes, size_t size, char hex[MF_HEX_SIZE])
{
    uint8_t out[MF_DIGEST_BYTES];
    mf_digest_bytes(bytes, size, out);
    mf_hex_encode(out, hex);
}

void mf_hex_encode(const uint8_t digest[MF_DIGEST_BYTES], char hex[MF_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < MF_DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * MF_DIGEST_BYTES] = 0;
}

bool mf_hex_decode(const char *hex, uint8_t digest[MF_DIGEST_BYTES])
{
    /* 16 with the value of a digit, 0 for what is none. */
    static const uint8_t values[256] = {
        ['0'] = 16, ['1'] = 17, ['2'] = 18, ['3'] = 19, ['4'] = 20, ['5'] = 21,
        ['6'] = 22, ['7'] = 23, ['8'] = 24, ['9'] = 25, ['a'] = 26, ['b'] = 27,
        ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31,
    };

    for (int i = 0; i < MF_DIGEST_BYTES; i++) {
        uint8_t high = values[(uint8_t)hex[2 * i]];
        uint8_t low = high ? values[(uint8_t)hex[2 * i + 1]] : 0; /* it may end in between */
        if (!low)
            return false;
        digest[i] = (uint8_t)(high << 4 | (low & 15));
    }
    return hex[2 * MF_DIGEST_BYTES] == 0;
}

/* ---- files ---- */

static mf_status add_file(mf_digest *digest, int fd, const char *path)
{
    uint8_t *bytes = malloc(READ_BYTES);
    if (!bytes)
        return mf_no_memory(READ_BYTES, "reading '%s'", path);
    ssize_t got;
    while ((got = read(fd, bytes, READ_BYTES)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        mf_digest_add(digest, bytes, (size_t)got);
    }
    int failed = errno;
    free(bytes);
    return got < 0 ? mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(failed)) : MF_OK;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static mf_status open_failed(const char *path)
{
    return mf_fail(errno == ENOENT || errno == ENOTDIR ? MF_NOT_FOUND : MF_IO,
                   "cannot read '%s': %s", path, strerror(errno));
}

mf_status mf_digest_file(const char *path, char hex[MF_HEX_SIZE])
{
    struct stat before, after;
    int64_t size;
    int fd;
    MF_TRY(mf_file_descriptor(path, &fd, &size));
    mf_digest *digest = NULL;
    mf_status status = MF_OK;
    if (fstat(fd, &before) != 0)
        status = open_failed(path);
    if (!status)
        status = mf_digest_new(&digest);
    if (!status)
        status = add_file(digest, fd, path);
    if (!status && fstat(fd, &after) != 0)
        status = open_failed(path);
    if (!status && (before.st_size != after.st_size || !same_time(before.st_mtim, after.st_mtim)))
        status = mf_hint(mf_fail(MF_IO, "'%s' changed while it was read", path),
                         "wait until it has been written, and run again");
    if (!status)
        mf_digest_end_hex(digest, hex);
    mf_digest_free(digest);
    close(fd);
    return status;
}

/* ---- folders ---- */

typedef struct names {
    char **items; /* paths relative to the root */
    size_t count;
} names;

static void names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

static mf_status names_add(names *n, char *item)
{
    char **grown = item ? mf_list_more(n->items, n->count, sizeof *grown) : NULL;
    if (!grown) {
        free(item);
        return mf_no_memory(0, "the names of a folder");
    }
    n->items = grown;
    n->items[n->count++] = item;
    return MF_OK;
}

static char *join(const char *folder, const char *name)
{
    char *path;
    if (!folder[0])
        return strdup(name);
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* All files below root/below, links followed. */
static mf_status walk(const char *root, const char *below, int depth, names *files)
{
    char *folder = below[0] ? join(root, below) : strdup(root);
    if (!folder)
        return mf_no_memory(0, "the names of a folder");
    if (depth > FOLDER_DEPTH) {
        mf_status deep =
            mf_fail(MF_INVALID, "'%s' is nested more than %d deep: a link in a circle?", folder,
                    FOLDER_DEPTH);
        free(folder);
        return deep;
    }
    DIR *dir = opendir(folder);
    if (!dir) {
        mf_status failed = open_failed(folder);
        free(folder);
        return failed;
    }
    mf_status status = MF_OK;
    struct dirent *entry;
    while (!status && (errno = 0, entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            mf_path_ignored(entry->d_name))
            continue;
        char *relative = join(below, entry->d_name);
        struct stat s;
        if (!relative) {
            status = mf_no_memory(0, "the names of a folder");
        } else if (fstatat(dirfd(dir), entry->d_name, &s, 0) != 0) {
            status = mf_fail(MF_IO, "cannot read '%s' in '%s': %s", entry->d_name, folder,
                             strerror(errno));
        } else if (S_ISDIR(s.st_mode)) {
            status = walk(root, relative, depth + 1, files);
        } else if (S_ISREG(s.st_mode)) {
            status = names_add(files, relative);
            relative = NULL;
        }
        free(relative);
    }
    if (!status && errno)
        status = mf_fail(MF_IO, "cannot read '%s': %s", folder, strerror(errno));
    closedir(dir);
    free(folder);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static mf_status plain_file(void *self, const char *path, char hex[MF_HEX_SIZE])
{
    (void)self;
    return mf_digest_file(path, hex);
}

static mf_status add_folder(mf_digest *digest, const char *root, const names *files,
                            mf_digest_file_call call, void *self)
{
    mf_digest_add_text(digest, "massflow folder 1");
    mf_digest_add_int(digest, (int64_t)files->count);
    for (size_t i = 0; i < files->count; i++) {
        char file[MF_HEX_SIZE], *path = join(root, files->items[i]);
        if (!path)
            return mf_no_memory(0, "the names of a folder");
        mf_status status = call(self, path, file);
        free(path);
        MF_TRY(status);
        mf_digest_add_text(digest, files->items[i]);
        mf_digest_add_text(digest, file);
    }
    return MF_OK;
}

mf_status mf_digest_path(const char *path, mf_digest_file_call call, void *self,
                         char hex[MF_HEX_SIZE])
{
    struct stat s;
    if (!call)
        call = plain_file;
    if (stat(path, &s) != 0)
        return open_failed(path);
    if (!S_ISDIR(s.st_mode))
        return call(self, path, hex);
    names files = {0};
    mf_digest *digest = NULL;
    mf_status status = walk(path, "", 0, &files);
    if (!status)
        status = mf_digest_new(&digest);
    if (!status) {
        if (files.count)
            qsort(files.items, files.count, sizeof *files.items, compare);
        status = add_folder(digest, path, &files, call, self);
    }
    if (!status)
        mf_digest_end_hex(digest, hex);
    mf_digest_free(digest);
    names_free(&files);
    return status;
}
