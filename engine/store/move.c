/* move.c - actions, artifacts and their chunks in one file, to be carried to another machine;
 * import.c reads it there.
 *
 * The file, integers little-endian:
 *   "massflow export 1\n"        18 bytes
 *   sections, each: a letter (1 byte), the size of its body (8 bytes), the body
 *     'c'   a chunk: digest (32 bytes), uncompressed size (8), codec (1), the bytes as stored
 *     'a'   an artifact: id (32), present (1), its record (see record.c)
 *     'h'   where the file is from: host, user (texts), seconds since 1970 (8). First, if at all
 *     'p'   where an action was made: key (32), device, host (texts), seconds since 1970 (8).
 * Before its 'x', if at all; what has none (a file of an older massflow) came from an unknown place
 *     'x'   an action: key (32), device, stage, components (each a text: its length (8) and bytes),
 *           seconds (8, of a double), peak bytes (8), count of outputs (8), each: port (a text),
 *           position (8), id of the artifact (32)
 *     'z'   the end: SHA-256 of all bytes before this section; nothing follows
 * Chunks come before the artifacts that name them, artifacts before the actions. So the reader
 * needs no more memory than one section takes, and no size in the file is believed: a body is at
 * most MF__MOST_BODY, and is read as far as there are bytes. */
#include "store/check.h"

#include <errno.h>
#include <massflow/file.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "carrying a cache");
}

/* ---- writing --------------------------------------------------------------------------------- */

const char *mf__user_name(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    return entry && entry->pw_name ? entry->pw_name : "";
}

typedef struct writer {
    FILE *file;
    mf_digest *digest;
    mf__reader *reader;
    mf__map chunks, artifacts; /* written already */
    mf__buffer body;
    mf_moved *moved;
} writer;

/* The caller knows the file by another name than where it is written. */
static mf_status not_written(void)
{
    return mf_fail(MF_IO, "%s", strerror(errno));
}

static mf_status put_bytes(writer *w, const void *bytes, size_t size)
{
    mf_digest_add(w->digest, bytes, size);
    if (fwrite(bytes, 1, size, w->file) == size)
        return MF_OK;
    return not_written();
}

static mf_status put_section(writer *w, char letter)
{
    uint8_t head[9] = {(uint8_t)letter};
    if (w->body.failed)
        return no_memory();
    for (int i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)((uint64_t)w->body.size >> (8 * i));
    MF_TRY(put_bytes(w, head, sizeof head));
    mf_status status = put_bytes(w, w->body.bytes, w->body.size);
    w->body.size = 0;
    return status;
}

/* False where it has been written before. */
static mf_status first_time(mf__map *map, const uint8_t *digest, bool *first)
{
    mf__map_entry *entry;
    MF_TRY(mf__map_add(map, digest, &entry));
    *first = !entry->value;
    entry->value = 1;
    return MF_OK;
}

static mf_status write_chunk(void *self, const uint8_t *digest)
{
    static const char sql[] = "SELECT k.raw, d.codec, d.bytes FROM chunk k"
                              " JOIN chunk_data d ON d.num = k.data WHERE k.digest = ?";
    writer *w = self;
    mf__connection *const files[] = {w->reader->chunks, w->reader->index};
    bool first, row = false;
    sqlite3_stmt *s = NULL;
    MF_TRY(first_time(&w->chunks, digest, &first));
    if (!first)
        return MF_OK;
    for (int i = 0; i < 2 && !row; i++) {
        MF_TRY(mf__prepare(files[i], sql, &s, "d", digest));
        MF_TRY(mf__step(files[i], s, &row));
    }
    if (!row) {
        char hex[MF_HEX_SIZE];
        mf_hex_encode(digest, hex);
        return mf_hint(mf_fail(MF_CORRUPT, "chunk %.*s is missing", MF__SHORT_ID, hex), MF__REPAIR);
    }
    uint8_t codec = (uint8_t)sqlite3_column_int(s, 1);
    mf__buffer_add(&w->body, digest, MF_DIGEST_BYTES);
    mf__buffer_int(&w->body, sqlite3_column_int64(s, 0));
    mf__buffer_add(&w->body, &codec, 1);
    mf__buffer_add(&w->body, sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
    sqlite3_reset(s);
    w->moved->chunks++;
    w->moved->bytes += (int64_t)w->body.size;
    return put_section(w, 'c');
}

static mf_status write_artifact(writer *w, const char *hex)
{
    uint8_t id[MF_DIGEST_BYTES], *record;
    sqlite3_stmt *s;
    bool first, row;
    if (!mf_hex_decode(hex, id))
        return mf_fail(MF_CORRUPT, "an action names no artifact");
    MF_TRY(first_time(&w->artifacts, id, &first));
    if (!first)
        return MF_OK;
    MF_TRY(mf__prepare(w->reader->index, "SELECT present, record FROM artifact WHERE id = ?", &s,
                       "d", id));
    MF_TRY(mf__step(w->reader->index, s, &row));
    if (!row)
        return mf_fail(MF_CORRUPT, "artifact %.*s is missing", MF__SHORT_ID, hex);
    uint8_t present = sqlite3_column_int(s, 0) != 0;
    size_t size = (size_t)sqlite3_column_bytes(s, 1);
    record = malloc(size + 1);
    if (record && size)
        memcpy(record, sqlite3_column_blob(s, 1), size);
    sqlite3_reset(s);
    if (!record)
        return no_memory();
    mf_status status = present ? mf__record_chunks(record, size, write_chunk, w) : MF_OK;
    if (!status) {
        mf__buffer_add(&w->body, id, sizeof id);
        mf__buffer_add(&w->body, &present, 1);
        mf__buffer_add(&w->body, record, size);
        w->moved->artifacts++;
        status = put_section(w, 'a');
    }
    free(record);
    return mf_within(status, "artifact %.*s", MF__SHORT_ID, hex);
}

static mf_status write_header(writer *w)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    mf__buffer_text(&w->body, host);
    mf__buffer_text(&w->body, mf__user_name());
    mf__buffer_int(&w->body, mf__now());
    return put_section(w, 'h');
}

/* The host of the run that made it, or, of an imported one, what came with it. */
static mf_status write_place(writer *w, const mf_action *a)
{
    uint8_t key[MF_DIGEST_BYTES];
    sqlite3_stmt *s;
    bool row;
    mf_hex_decode(a->key, key);
    mf__buffer_add(&w->body, key, sizeof key);
    mf__buffer_text(&w->body, a->device);
    MF_TRY(mf__prepare(w->reader->index, "SELECT host FROM run WHERE num = ?", &s, "i", a->run));
    MF_TRY(mf__step(w->reader->index, s, &row));
    const char *host = row ? (const char *)sqlite3_column_text(s, 0) : NULL;
    mf__buffer_text(&w->body, a->import ? a->host : host ? host : "");
    sqlite3_reset(s);
    mf__buffer_int(&w->body, a->created);
    return put_section(w, 'p');
}

static mf_status write_action(writer *w, const mf_action *a, const char *components)
{
    uint8_t key[MF_DIGEST_BYTES], id[MF_DIGEST_BYTES];
    int64_t bits;
    for (size_t i = 0; i < a->output_count; i++)
        MF_TRY(write_artifact(w, a->outputs[i].id));
    MF_TRY(write_place(w, a));
    mf_hex_decode(a->key, key);
    memcpy(&bits, &a->seconds, sizeof bits);
    mf__buffer_add(&w->body, key, sizeof key);
    mf__buffer_text(&w->body, a->device);
    mf__buffer_text(&w->body, a->stage);
    mf__buffer_text(&w->body, components ? components : "");
    mf__buffer_int(&w->body, bits);
    mf__buffer_int(&w->body, a->peak_bytes);
    mf__buffer_int(&w->body, (int64_t)a->output_count);
    for (size_t i = 0; i < a->output_count; i++) {
        mf_hex_decode(a->outputs[i].id, id);
        mf__buffer_text(&w->body, a->outputs[i].port);
        mf__buffer_int(&w->body, a->outputs[i].position);
        mf__buffer_add(&w->body, id, sizeof id);
    }
    w->moved->actions++;
    return put_section(w, 'x');
}

static mf_status write_key(writer *w, mf_store *store, const char *key)
{
    mf_action *a = NULL;
    char *components = NULL;
    MF_TRY(mf_store_find(store, key, NULL, &a));
    if (!a)
        return mf_fail(MF_NOT_FOUND, "there is no action %.*s", MF__SHORT_ID, key);
    mf_status status = mf_store_components(store, key, &components);
    if (!status)
        status = mf_within(write_action(w, a, components), "action %.*s of %s", MF__SHORT_ID, key,
                           a->stage);
    free(components);
    mf_action_free(a);
    return status;
}

static mf_status write_end(writer *w)
{
    uint8_t sum[MF_DIGEST_BYTES];
    mf_digest_end(w->digest, sum);
    mf__buffer_add(&w->body, sum, sizeof sum);
    MF_TRY(put_section(w, 'z'));
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        return not_written();
    return MF_OK;
}

/* All keys, each once, for free() as one block. */
static mf_status all_keys(mf_store *store, char (**keys)[MF_HEX_SIZE], size_t *count)
{
    mf_action **actions;
    size_t n;
    MF_TRY(mf_store_list_actions(store, NULL, 0, &actions, &n));
    *keys = malloc((n + 1) * sizeof **keys);
    *count = 0;
    for (size_t i = n; *keys && i-- > 0;) /* oldest first */
        memcpy((*keys)[(*count)++], actions[i]->key, MF_HEX_SIZE);
    mf_action_list_free(actions, n);
    return *keys ? MF_OK : no_memory();
}

static mf_status write_all(writer *w, mf_store *store, const char (*keys)[MF_HEX_SIZE],
                           size_t count)
{
    mf__map done = {0};
    mf_status status = put_bytes(w, MF__MOVE_MAGIC, sizeof MF__MOVE_MAGIC - 1);
    if (!status)
        status = write_header(w);
    for (size_t i = 0; i < count && !status; i++) {
        uint8_t key[MF_DIGEST_BYTES];
        bool first = false;
        if (mf_hex_decode(keys[i], key))
            status = first_time(&done, key, &first);
        if (!status && first)
            status = write_key(w, store, keys[i]);
    }
    mf__map_clear(&done);
    return status ? status : write_end(w);
}

mf_status mf_store_export(mf_store *store, const char *path, const char (*keys)[MF_HEX_SIZE],
                          size_t count, mf_moved *moved)
{
    writer w = {.moved = moved};
    char(*all)[MF_HEX_SIZE] = NULL;
    *moved = (mf_moved){0};
    mf_status status = keys ? MF_OK : all_keys(store, &all, &count);
    if (!status && !(w.file = fopen(path, "wbxe")))
        status = not_written();
    if (!status)
        status = mf_digest_new(&w.digest);
    if (!status)
        status = mf__reader_get(store, &w.reader);
    if (!status)
        status = write_all(&w, store, keys ? keys : (const char(*)[MF_HEX_SIZE])all, count);
    if (w.file && fclose(w.file) != 0 && !status)
        status = not_written();
    if (status && w.file)
        remove(path);
    if (w.reader)
        mf__reader_put(store, w.reader);
    mf_digest_free(w.digest);
    mf__map_clear(&w.chunks);
    mf__map_clear(&w.artifacts);
    free(w.body.bytes);
    free(all);
    return status;
}
