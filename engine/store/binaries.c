/* binaries.c - built OpenCL programs, by a key that compute/ makes. They can always be built again:
 * so what can't be read or written is no error, and a damaged one counts as missing. */
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct binary {
    char *key;
    uint8_t digest[MF_DIGEST_BYTES];
    size_t size;
    uint8_t bytes[];
} binary;

static uint8_t *take(sqlite3_stmt *s, const char *key, size_t *size)
{
    uint8_t sum[MF_DIGEST_BYTES];
    const void *bytes = sqlite3_column_blob(s, 0);
    *size = (size_t)sqlite3_column_bytes(s, 0);
    mf_status status = bytes ? mf__sum_binary(key, bytes, *size, sum) : MF_OK;
    mf_error_free(status);
    if (!bytes || status || !mf__sum_is(s, 1, sum))
        return NULL;
    uint8_t *copy = malloc(*size);
    if (copy)
        memcpy(copy, bytes, *size);
    return copy;
}

static uint8_t *get(void *self, const char *key, size_t *size)
{
    mf_store *store = self;
    mf__reader *r;
    sqlite3_stmt *s;
    bool row = false;
    uint8_t *bytes = NULL;
    mf_status status = mf__reader_get(store, &r);
    if (status) {
        mf_error_free(status);
        return NULL;
    }
    status = mf__prepare(r->index, "SELECT bytes, digest FROM binary WHERE key = ?", &s, "t", key);
    if (!status)
        status = mf__step(r->index, s, &row);
    if (!status && row) {
        bytes = take(s, key, size);
        sqlite3_reset(s);
    }
    mf_error_free(status);
    mf__reader_put(store, r);
    return bytes;
}

static mf_status insert(mf__connection *c, void *arg)
{
    const binary *b = arg;
    return mf__exec(c,
                    "INSERT OR REPLACE INTO binary (key, digest, created, bytes)"
                    " VALUES (?, ?, ?, ?)",
                    "tdib", b->key, b->digest, mf__now(), b->bytes, b->size);
}

static void binary_free(void *arg)
{
    binary *b = arg;
    free(b->key);
    free(b);
}

static void put(void *self, const char *key, const uint8_t *bytes, size_t size)
{
    mf_store *store = self;
    binary *b = malloc(sizeof *b + size);
    if (!b)
        return;
    b->key = strdup(key);
    b->size = size;
    memcpy(b->bytes, bytes, size);
    mf_status status = mf__sum_binary(key, bytes, size, b->digest);
    mf__job job = {.target = MF__INDEX,
                   .run = insert,
                   .arg = b,
                   .free = binary_free,
                   .bytes = sizeof *b + size};
    mf_error_free(status);
    if (!b->key || status)
        binary_free(b);
    else
        mf_error_free(mf__submit(store, &job));
}

mf_binary_store mf_store_binaries(mf_store *store)
{
    return (mf_binary_store){store, get, put};
}
