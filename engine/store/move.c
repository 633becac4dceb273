/* move.c - actions, artifacts and their chunks in one file, to be carried to another machine.
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
 * most MOST_BODY, and is read as far as there are bytes. */
#include "store/check.h"

#include <errno.h>
#include <massflow/file.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "massflow export 1\n"
#define MOST_BODY ((int64_t)64 << 20)

static mf_status no_memory(void)
{
    return mf_fail(MF_NO_MEMORY, "no memory to carry a cache");
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The name of who runs this; "" where it is not known. */
static const char *user_name(void)
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
    mf__buffer_text(&w->body, user_name());
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
    mf_status status = put_bytes(w, MAGIC, sizeof MAGIC - 1);
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

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct loader {
    const char *path;
    FILE *file;
    mf_digest *digest;
    mf_store *store;
    mf__reader *reader;
    mf__ticket ticket;
    mf__scratch scratch;
    mf__buffer body;
    mf_import import;             /* num 0: not recorded yet */
    uint8_t sum[MF_DIGEST_BYTES]; /* of the whole file */
    mf_action place;              /* of the next action: key, device, host, created */
    mf_conflict_call tell;
    void *self;
    mf_moved *moved;
} loader;

static mf_status damaged(const loader *l, const char *what)
{
    return mf_fail(MF_CORRUPT, "'%s' is damaged: %s", l->path, what);
}

static mf_status get_bytes(loader *l, void *to, size_t size)
{
    if (fread(to, 1, size, l->file) == size)
        return MF_OK;
    if (ferror(l->file))
        return mf_fail(MF_IO, "cannot read '%s': %s", l->path, strerror(errno));
    return damaged(l, "it ends too early");
}

/* The next section's letter, and its body in l->body. Memory grows with what is really there. */
static mf_status get_section(loader *l, char *letter)
{
    uint8_t head[9], sum[MF_DIGEST_BYTES];
    uint64_t size = 0;
    MF_TRY(get_bytes(l, head, sizeof head));
    for (int i = 0; i < 8; i++)
        size |= (uint64_t)head[1 + i] << (8 * i);
    *letter = (char)head[0];
    if (size > (uint64_t)MOST_BODY)
        return damaged(l, "a section is too large");
    if (*letter == 'z')
        mf_digest_end(l->digest, sum);
    else
        mf_digest_add(l->digest, head, sizeof head);
    l->body.size = 0;
    for (uint8_t step[4096]; size > 0;) {
        size_t part = size < sizeof step ? (size_t)size : sizeof step;
        MF_TRY(get_bytes(l, step, part));
        if (*letter != 'z')
            mf_digest_add(l->digest, step, part);
        mf__buffer_add(&l->body, step, part);
        size -= part;
    }
    if (l->body.failed)
        return no_memory();
    if (*letter == 'z' &&
        (l->body.size != sizeof sum || memcmp(l->body.bytes, sum, sizeof sum) != 0))
        return damaged(l, "its bytes do not match its sum");
    if (*letter == 'z')
        memcpy(l->sum, sum, sizeof sum);
    return MF_OK;
}

/* Takes from the front of a body. */
typedef struct cut {
    const uint8_t *at;
    size_t left;
    bool failed;
} cut;

static const uint8_t *cut_bytes(cut *c, size_t size)
{
    if (c->failed || size > c->left) {
        c->failed = true;
        return NULL;
    }
    c->at += size;
    c->left -= size;
    return c->at - size;
}

static int64_t cut_int(cut *c)
{
    const uint8_t *bytes = cut_bytes(c, 8);
    uint64_t value = 0;
    for (int i = 0; bytes && i < 8; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return (int64_t)value;
}

/* A copy for free(); NULL where it is not there or holds a zero byte. */
static char *cut_text(cut *c)
{
    int64_t size = cut_int(c);
    const uint8_t *bytes = size < 0 ? NULL : cut_bytes(c, (size_t)size);
    if (!bytes || memchr(bytes, 0, (size_t)size)) {
        c->failed = true;
        return NULL;
    }
    return strndup((const char *)bytes, (size_t)size);
}

static mf_status read_chunk(loader *l)
{
    cut c = {l->body.bytes, l->body.size, false};
    const uint8_t *digest = cut_bytes(&c, MF_DIGEST_BYTES);
    int64_t raw = cut_int(&c), stored;
    const uint8_t *codec = cut_bytes(&c, 1);
    uint8_t *bytes = NULL, got[MF_DIGEST_BYTES];
    if (!c.failed && raw > 0 && raw <= (int64_t)MF__PIECE)
        MF_TRY(mf__chunk_expand(&l->scratch, *codec, c.at, c.left, (size_t)raw, &bytes));
    if (bytes)
        mf_digest_bytes(bytes, (size_t)raw, got);
    if (!bytes || memcmp(got, digest, sizeof got) != 0)
        return damaged(l, "a chunk does not match its digest");
    l->moved->chunks++;
    MF_TRY(mf__chunk_find(l->reader, digest, (size_t)raw, &stored));
    if (stored >= 0)
        return MF_OK;
    l->moved->bytes += (int64_t)c.left;
    return mf__chunk_keep(l->store, &l->ticket, digest, (size_t)raw, *codec, c.at, c.left);
}

/* What a record says of an artifact, and whether all its chunks are here. */
typedef struct arrived {
    loader *loader;
    uint8_t id[MF_DIGEST_BYTES];
    const char *type;
    int64_t bytes, stored;
    bool present;
    const uint8_t *record;
    size_t size;
} arrived;

static mf_status find_chunk(void *self, const uint8_t *digest)
{
    arrived *a = self;
    int64_t stored;
    MF_TRY(mf__chunk_find(a->loader->reader, digest, MF__SMALL, &stored));
    if (stored < 0)
        MF_TRY(mf__chunk_find(a->loader->reader, digest, MF__PIECE, &stored));
    if (stored < 0)
        return damaged(a->loader, "an artifact names a chunk that is not there");
    a->stored += stored;
    return MF_OK;
}

static mf_status insert_artifact(mf__connection *c, void *arg)
{
    const arrived *a = arg;
    return mf__exec(c,
                    "INSERT INTO artifact (id, type, present, bytes, stored, created, used, record)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)"
                    " ON CONFLICT (id) DO UPDATE SET present = max(present, excluded.present),"
                    " stored = max(stored, excluded.stored), used = excluded.used",
                    "dtiiiib", a->id, a->type, (int64_t)a->present, a->bytes, a->stored, mf__now(),
                    a->record, a->size);
}

static mf_status read_artifact(loader *l)
{
    cut c = {l->body.bytes, l->body.size, false};
    const uint8_t *id = cut_bytes(&c, MF_DIGEST_BYTES), *present = cut_bytes(&c, 1);
    arrived a = {.loader = l, .record = c.at, .size = c.left};
    uint8_t got[MF_DIGEST_BYTES];
    char *type = NULL;
    if (!c.failed)
        mf_digest_bytes(c.at, c.left, got);
    if (c.failed || memcmp(got, id, sizeof got) != 0)
        return damaged(l, "the record of an artifact does not match its id");
    memcpy(a.id, id, sizeof a.id);
    a.present = *present != 0;
    MF_TRY(mf__wait(l->store, &l->ticket)); /* its chunks are written */
    mf_status status = mf__record_type(c.at, c.left, &type);
    a.type = type;
    if (!status)
        status = mf__record_bytes(c.at, c.left, &a.bytes);
    if (!status && a.present)
        status = mf__record_chunks(c.at, c.left, find_chunk, &a);
    if (!status)
        status = mf__write(l->store, insert_artifact, &a);
    l->moved->artifacts++;
    free(type);
    return status;
}

static mf_status check_key(loader *l, const mf_action *a)
{
    char hex[MF_HEX_SIZE];
    mf_digest_hex(a->components, strlen(a->components), hex);
    return strcmp(hex, a->key) == 0 ? MF_OK : damaged(l, "an action does not match its key");
}

static mf_status read_outputs(loader *l, cut *c, mf_action *a)
{
    int64_t count = cut_int(c);
    if (c->failed || count < 0 || (uint64_t)count > c->left / (16 + MF_DIGEST_BYTES))
        return damaged(l, "an action has no such number of outputs");
    a->outputs = calloc((size_t)count + 1, sizeof *a->outputs);
    if (!a->outputs)
        return no_memory();
    for (; a->output_count < (size_t)count && !c->failed; a->output_count++) {
        mf_action_output *o = &a->outputs[a->output_count];
        o->port = cut_text(c);
        o->position = cut_int(c);
        const uint8_t *id = cut_bytes(c, MF_DIGEST_BYTES);
        if (id)
            mf_hex_encode(id, o->id);
    }
    return MF_OK;
}

static mf_status read_fields(loader *l, mf_action *a)
{
    cut c = {l->body.bytes, l->body.size, false};
    const uint8_t *key = cut_bytes(&c, MF_DIGEST_BYTES);
    a->device = cut_text(&c);
    a->stage = cut_text(&c);
    a->components = cut_text(&c);
    int64_t bits = cut_int(&c);
    memcpy(&a->seconds, &bits, sizeof bits);
    a->peak_bytes = cut_int(&c);
    mf_status status = read_outputs(l, &c, a);
    if (!status && (c.failed || c.left))
        status = damaged(l, "an action can't be read");
    MF_TRY(status);
    mf_hex_encode(key, a->key);
    return check_key(l, a);
}

/* A name that is shown to people: short, and one line. */
static char *cut_name(cut *c)
{
    char *text = cut_text(c);
    for (const unsigned char *t = (const unsigned char *)text; t && *t; t++)
        c->failed = c->failed || *t < 0x20 || *t == 0x7f || t - (const unsigned char *)text > 254;
    return text;
}

/* A time that lies behind us, or 0. */
static int64_t cut_past(cut *c)
{
    int64_t at = cut_int(c), now = mf__now();
    return at < 0 ? 0 : at > now ? now : at;
}

static mf_status read_header(loader *l)
{
    cut c = {l->body.bytes, l->body.size, false};
    free(l->import.host);
    free(l->import.exporter);
    l->import.host = cut_name(&c);
    l->import.exporter = cut_name(&c);
    l->import.exported = cut_past(&c);
    return c.failed || c.left ? damaged(l, "where it is from can't be read") : MF_OK;
}

static void forget_place(loader *l)
{
    free((char *)l->place.device);
    free((char *)l->place.host);
    l->place = (mf_action){0};
}

static mf_status read_place(loader *l)
{
    cut c = {l->body.bytes, l->body.size, false};
    const uint8_t *key = cut_bytes(&c, MF_DIGEST_BYTES);
    forget_place(l);
    if (key)
        mf_hex_encode(key, l->place.key);
    l->place.device = cut_text(&c);
    l->place.host = cut_name(&c);
    l->place.created = cut_past(&c);
    return c.failed || c.left ? damaged(l, "where an action was made can't be read") : MF_OK;
}

/* The first action that is new records where all of them are from. */
static mf_status begin_import(loader *l)
{
    char *file = l->import.num ? NULL : realpath(l->path, NULL);
    mf_import import = l->import;
    if (l->import.num)
        return MF_OK;
    import.file = file ? file : (char *)l->path;
    import.user = (char *)user_name();
    import.host = import.host ? import.host : "";
    import.exporter = import.exporter ? import.exporter : "";
    mf_status status = mf__record_import(l->store, &import, l->sum);
    l->import.num = import.num;
    free(file);
    return status;
}

static mf_status tell_conflict(loader *l, const mf_action *here, const mf_action *there,
                               const mf_action_output *differs)
{
    char *node = NULL;
    mf_conflict c = {.key = there->key,
                     .stage = there->stage,
                     .port = differs ? differs->port : NULL,
                     .here = "",
                     .there = differs ? differs->id : "",
                     .here_device = here->device,
                     .there_device = there->device,
                     .imported = here->import != 0};
    l->moved->conflicts++;
    if (!l->tell)
        return MF_OK;
    for (size_t i = 0; differs && i < here->output_count; i++)
        if (strcmp(here->outputs[i].port, differs->port) == 0 &&
            here->outputs[i].position == differs->position)
            c.here = here->outputs[i].id;
    MF_TRY(mf_store_maker(l->store, here->run, here->key, &node));
    c.node = node;
    l->tell(l->self, &c);
    free(node);
    return MF_OK;
}

/* Whether the store has just this already: made by that device, with those outputs. */
static bool has_it(mf_action **actions, size_t count, const mf_action *a)
{
    const mf_action_output *differs;
    for (size_t i = 0; i < count; i++)
        if (strcmp(actions[i]->device, a->device) == 0 && mf__same_outputs(actions[i], a, &differs))
            return true;
    return false;
}

/* What its key stands for here stays, see MF__ACTION. */
static mf_status take_action(loader *l, mf_action *a)
{
    uint8_t key[MF_DIGEST_BYTES];
    mf_action **here = NULL;
    const mf_action_output *differs;
    size_t count = 0;
    mf_hex_decode(a->key, key);
    MF_TRY(mf__actions_of(l->reader->index, key, &here, &count));
    mf_status status = MF_OK;
    if (!has_it(here, count, a)) {
        l->moved->new_actions++;
        status = begin_import(l);
        a->import = l->import.num;
        if (!status)
            status = mf__record_imported(l->store, a);
    }
    if (!status && count && !mf__same_outputs(here[0], a, &differs))
        status = tell_conflict(l, here[0], a, differs);
    mf_action_list_free(here, count);
    return status;
}

static mf_status read_action(loader *l)
{
    mf_action *a = calloc(1, sizeof *a);
    if (!a)
        return no_memory();
    mf_status status = read_fields(l, a);
    bool placed = !status && strcmp(l->place.key, a->key) == 0 && l->place.device &&
                  strcmp(l->place.device, a->device) == 0;
    a->created = placed ? l->place.created : 0;
    a->host = strdup(placed ? l->place.host : "");
    if (!status && !a->host)
        status = no_memory();
    if (!status)
        status = take_action(l, a);
    l->moved->actions++;
    mf_action_free(a);
    return status;
}

static mf_status take_section(loader *l, char letter)
{
    switch (letter) {
    case 'c':
        return read_chunk(l);
    case 'a':
        return read_artifact(l);
    case 'h':
        return read_header(l);
    case 'p':
        return read_place(l);
    case 'x':
        return read_action(l);
    case 'z':
        return MF_OK;
    default:
        return damaged(l, "a section of no known kind");
    }
}

/* From the beginning to the end; `take`: what is read is stored. */
static mf_status read_all(loader *l, bool take)
{
    char magic[sizeof MAGIC - 1], letter = 0;
    rewind(l->file);
    MF_TRY(get_bytes(l, magic, sizeof magic));
    if (memcmp(magic, MAGIC, sizeof magic) != 0)
        return mf_fail(MF_INVALID, "'%s' is no export of a cache, or of a newer massflow", l->path);
    mf_digest_add(l->digest, magic, sizeof magic);
    while (letter != 'z') {
        MF_TRY(get_section(l, &letter));
        if (take)
            MF_TRY(take_section(l, letter));
    }
    return fgetc(l->file) == EOF ? MF_OK : damaged(l, "bytes follow its end");
}

mf_status mf_store_import(mf_store *store, const char *path, mf_conflict_call tell, void *self,
                          mf_moved *moved)
{
    loader l = {.path = path, .store = store, .tell = tell, .self = self, .moved = moved};
    *moved = (mf_moved){0};
    int64_t size;
    mf_status status = mf_file_open(path, &l.file, &size); /* read twice: a pipe can't be */
    if (!status)
        status = mf_digest_new(&l.digest);
    if (!status)
        status = mf__reader_get(store, &l.reader);
    if (!status) /* nothing is believed before all of it has been seen */
        status = read_all(&l, false);
    mf_store_pin(store); /* chunks come before what names them */
    if (!status)
        status = read_all(&l, true);
    mf_status waited = mf__wait(store, &l.ticket);
    if (status)
        mf_error_free(waited);
    else
        status = waited;
    mf_store_unpin(store);
    if (l.reader)
        mf__reader_put(store, l.reader);
    if (l.file)
        fclose(l.file);
    mf_digest_free(l.digest);
    mf__scratch_clear(&l.scratch);
    forget_place(&l);
    free(l.import.host);
    free(l.import.exporter);
    free(l.body.bytes);
    return mf_within(status, "while importing");
}
