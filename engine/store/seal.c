/* seal.c - digests over rows, for what SQLite itself does not check: a changed byte in a row would
 * else be believed. Artifacts need none (their id is the digest of their record), nor do chunks.
 *
 * A sum is the SHA-256 of the row's columns one after the other: a text as its length and bytes, a
 * number as 8 bytes (of a real its bits), a digest as it is. */
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

static mf_status end(mf__buffer *b, uint8_t sum[MF_DIGEST_BYTES])
{
    bool failed = b->failed;
    if (!failed)
        mf_digest_bytes(b->bytes, b->size, sum);
    free(b->bytes);
    return failed ? mf_no_memory(0, "the sum of a row") : MF_OK;
}

static void add_real(mf__buffer *b, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    mf__buffer_int(b, bits);
}

static void add_output(mf__buffer *b, const mf_action_output *o)
{
    uint8_t id[MF_DIGEST_BYTES] = {0};
    mf_hex_decode(o->id, id);
    mf__buffer_text(b, o->port);
    mf__buffer_int(b, o->position);
    mf__buffer_add(b, id, sizeof id);
}

static int by_port(const void *a, const void *b)
{
    const mf_action_output *const *x = a, *const *y = b;
    int order = strcmp((*x)->port, (*y)->port);
    return order ? order : ((*x)->position > (*y)->position) - ((*x)->position < (*y)->position);
}

mf_status mf__sum_action(const mf_action *a, const uint8_t key[MF_DIGEST_BYTES],
                         uint8_t sum[MF_DIGEST_BYTES])
{
    mf__buffer b = {0};
    const mf_action_output *few[16], **order = few;
    if (a->output_count > 16)
        order = malloc(a->output_count * sizeof *order);
    if (!order)
        return mf_no_memory(a->output_count * sizeof *order, "the sum of a row");
    for (size_t i = 0; i < a->output_count; i++)
        order[i] = &a->outputs[i];
    qsort(order, a->output_count, sizeof *order, by_port);
    mf__buffer_add(&b, key, MF_DIGEST_BYTES);
    mf__buffer_text(&b, a->device ? a->device : "");
    mf__buffer_text(&b, a->stage);
    add_real(&b, a->seconds);
    mf__buffer_int(&b, a->peak_bytes);
    mf__buffer_int(&b, a->created);
    for (size_t i = 0; i < a->output_count; i++)
        add_output(&b, order[i]);
    if (a->import) {
        mf__buffer_int(&b, a->import);
        mf__buffer_text(&b, a->host ? a->host : "");
    }
    if (order != few)
        free(order);
    return end(&b, sum);
}

mf_status mf__sum_file(const mf__file *f, uint8_t sum[MF_DIGEST_BYTES])
{
    mf__buffer b = {0};
    mf__buffer_text(&b, f->path);
    mf__buffer_int(&b, f->size);
    mf__buffer_int(&b, f->inode);
    mf__buffer_int(&b, f->mtime);
    mf__buffer_int(&b, f->ctime);
    mf__buffer_int(&b, f->hashed);
    mf__buffer_add(&b, f->digest, MF_DIGEST_BYTES);
    return end(&b, sum);
}

mf_status mf__sum_checkpoint(const uint8_t key[MF_DIGEST_BYTES], int64_t step, int64_t created,
                             const uint8_t artifact[MF_DIGEST_BYTES], uint8_t sum[MF_DIGEST_BYTES])
{
    mf__buffer b = {0};
    mf__buffer_add(&b, key, MF_DIGEST_BYTES);
    mf__buffer_int(&b, step);
    mf__buffer_int(&b, created);
    mf__buffer_add(&b, artifact, MF_DIGEST_BYTES);
    return end(&b, sum);
}

bool mf__sum_is(sqlite3_stmt *s, int column, const uint8_t sum[MF_DIGEST_BYTES])
{
    uint8_t stored[MF_DIGEST_BYTES];
    return mf__column_digest(s, column, stored) && !memcmp(stored, sum, MF_DIGEST_BYTES);
}

/* ---- rows that have no sum yet --------------------------------------------------------------- */

static mf_status seal_action(void *self, int64_t num, const mf_action *a, bool sound)
{
    mf__connection *c = self;
    uint8_t key[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    (void)sound;
    if (!mf_hex_decode(a->key, key))
        return mf_fail(MF_CORRUPT, "'%s' is damaged: an action has no key", c->path);
    MF_TRY(mf__sum_action(a, key, sum));
    return mf__exec(c, "UPDATE action SET sum = ? WHERE num = ? AND sum IS NULL", "di", sum, num);
}

mf_status mf__seal_actions(mf__connection *c)
{
    return mf__each_action(c, seal_action, c);
}

typedef struct imported {
    mf__connection *connection;
    int64_t num;
} imported;

static mf_status seal_imported(void *self, int64_t num, const mf_action *a, bool sound)
{
    const imported *i = self;
    uint8_t key[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    mf_action copy = *a;
    if (a->run || !sound || !mf_hex_decode(a->key, key))
        return MF_OK;
    copy.import = i->num;
    MF_TRY(mf__sum_action(&copy, key, sum));
    return mf__exec(i->connection, "UPDATE action SET import = ?, sum = ? WHERE num = ?", "idi",
                    i->num, sum, num);
}

mf_status mf__seal_imported(mf__connection *c, int64_t num)
{
    imported i = {c, num};
    return mf__each_action(c, seal_imported, &i);
}

static mf_status seal_file(mf__connection *c, sqlite3_stmt *s)
{
    uint8_t sum[MF_DIGEST_BYTES];
    mf__file f = {.path = (char *)sqlite3_column_text(s, 0),
                  .size = sqlite3_column_int64(s, 1),
                  .inode = sqlite3_column_int64(s, 2),
                  .mtime = sqlite3_column_int64(s, 3),
                  .ctime = sqlite3_column_int64(s, 4),
                  .hashed = sqlite3_column_int64(s, 5)};
    if (!f.path || !mf__column_digest(s, 6, f.digest))
        return mf_fail(MF_CORRUPT, "'%s' is damaged: a file has no digest", c->path);
    MF_TRY(mf__sum_file(&f, sum));
    return mf__exec(c, "UPDATE file SET sum = ? WHERE path = ?", "dt", sum, f.path);
}

static mf_status each_row(mf__connection *c, const char *sql,
                          mf_status (*each)(mf__connection *c, sqlite3_stmt *s))
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c, sql, &s, ""));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = each(c, s);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf__seal_files(mf__connection *c)
{
    return each_row(c, "SELECT path, size, inode, mtime, ctime, hashed, digest FROM file",
                    seal_file);
}
