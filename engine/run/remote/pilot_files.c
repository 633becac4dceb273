/* pilot_files.c - the input files of a node: read where the run names them, or copied from it.
 *
 * A file is read in place where it opens under the name that the run has for it and its content has
 * the digest of the node's key. Else its bytes come from the run (offer.h) into the worker's folder
 * (store/file_cache.h), and are held against the digest. A node whose files are still coming when
 * the link is lost ends, for it has done nothing yet: the next run starts it anew. What is said of
 * a copy names the user's path. See pilot_private.h. */
#include "run/remote/offer.h"
#include "run/remote/pilot_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_FILES 10000000 /* of an input */

/* A path of the node and what is read with it. */
typedef struct input {
    const char *path, *folder; /* as the user wrote it; absolute. Both lie in the message */
    const char **names;        /* of the parts, from the folder on */
    mf_file_part *parts;       /* where they are read */
    size_t count;
    char *local; /* the folder where they are read, with the slash */
    mf_file_copy *copy;
} input;

struct mf_pilot_files {
    mf_pilot_job *job;
    input *inputs;
    size_t count;
    mf_file_input *watched;
    mf_file_watch *watch;
};

/* ---- digests of what was looked at ----------------------------------------------------------- */

static uint64_t slot_of(const char *path)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */

    for (; *path; path++)
        hash = (hash ^ (uint8_t)*path) * 1099511628211u;
    return hash % MF_PILOT_SEEN;
}

static bool recall(mf_pilot *p, const mf_file_part *part, char hex[MF_HEX_SIZE])
{
    const mf_file_part *seen = &p->seen[slot_of(part->path)];
    bool same;

    pthread_mutex_lock(&p->lock);
    same =
        seen->path && !strcmp(seen->path, part->path) && mf_stamp_same(&seen->stamp, &part->stamp);
    if (same)
        memcpy(hex, seen->digest, MF_HEX_SIZE);
    pthread_mutex_unlock(&p->lock);
    return same;
}

static void remember(mf_pilot *p, const mf_file_part *part, const char hex[MF_HEX_SIZE])
{
    mf_file_part *seen = &p->seen[slot_of(part->path)];
    char *path = strdup(part->path);

    if (!path)
        return;
    pthread_mutex_lock(&p->lock);
    free(seen->path);
    *seen = *part;
    seen->path = path;
    memcpy(seen->digest, hex, MF_HEX_SIZE);
    pthread_mutex_unlock(&p->lock);
}

void mf__pilot_forget_files(mf_pilot *p)
{
    for (size_t i = 0; i < MF_PILOT_SEEN; i++)
        free(p->seen[i].path);
}

/* Whether its content is what its digest says; why it can't be read does not matter. */
static bool is_there(mf_pilot *p, mf_file_part *part)
{
    char hex[MF_HEX_SIZE];
    mf_status status = mf_stamp_take(part->path, &part->stamp);

    if (!status && !recall(p, part, hex)) {
        status = mf_digest_path(part->path, NULL, NULL, hex);
        if (!status)
            remember(p, part, hex);
    }
    if (status) {
        mf_error_free(status);
        return false;
    }
    return !strcmp(hex, part->digest);
}

/* ---- where they are read --------------------------------------------------------------------- */

/* All parts from `folder` on. */
static mf_status set_local(input *in, const char *folder, const char *slash)
{
    free(in->local);
    if (asprintf(&in->local, "%s%s", folder, slash) < 0) {
        in->local = NULL;
        return mf_no_memory(0, "input files");
    }
    for (size_t k = 0; k < in->count; k++) {
        mf_file_part *part = &in->parts[k];
        free(part->path);
        if (asprintf(&part->path, "%s%s", in->local, in->names[k]) < 0) {
            part->path = NULL;
            return mf_no_memory(0, "input files");
        }
    }
    return MF_OK;
}

static bool all_there(mf_pilot *p, input *in)
{
    for (size_t k = 0; k < in->count; k++)
        if (!is_there(p, &in->parts[k]))
            return false;
    return true;
}

/* ---- copying --------------------------------------------------------------------------------- */

typedef struct fetch {
    mf_pilot_job *job;
    input *in;
    int64_t number;
    struct arriving {
        const char *name; /* in the answer */
        int64_t size;
        bool program;
        char hex[MF_HEX_SIZE];
    } * files;
    size_t count, at; /* at: the file whose bytes come next */
    int64_t bytes, got;
    int64_t of_file; /* bytes of that file so far */
    int file;
    mf_digest *digest;
} fetch;

/* Where the folder can't be written no node comes to its end here: they go back. */
static mf_status unwritten(mf_pilot *p, mf_status status)
{
    if (status && mf_error_code(status) == MF_IO) {
        pthread_mutex_lock(&p->lock);
        p->full = true;
        pthread_mutex_unlock(&p->lock);
    }
    return status;
}

static mf_status get_list(fetch *f, mf_packet *answer)
{
    f->count = mf_packet_get_count(answer);
    if (answer->failed || f->count > MOST_FILES)
        return mf__pilot_damaged();
    f->files = calloc(f->count + 1, sizeof *f->files);
    if (!f->files)
        return mf_no_memory(0, "the files of %s", f->in->path);
    for (size_t i = 0; i < f->count; i++) {
        f->files[i].name = mf_packet_get_text(answer);
        f->files[i].size = mf_packet_get_int(answer);
        f->files[i].program = mf_packet_get_int(answer) != 0;
        if (answer->failed || !f->files[i].name || f->files[i].size < 0 ||
            f->files[i].size > INT64_MAX / 2 - f->bytes)
            return mf__pilot_damaged();
        f->bytes += f->files[i].size;
    }
    return MF_OK;
}

/* Ends the files that are whole and begins the next. */
static mf_status next_files(fetch *f)
{
    while (f->at < f->count) {
        struct arriving *a = &f->files[f->at];
        if (f->file < 0) {
            MF_TRY(unwritten(f->job->pilot,
                             mf_file_copy_create(f->in->copy, a->name, a->program, &f->file)));
            f->of_file = 0;
        }
        if (f->of_file < a->size)
            return MF_OK;
        mf_digest_end_hex(f->digest, a->hex);
        if (f->file >= 0 && close(f->file) != 0) {
            f->file = -1;
            return unwritten(f->job->pilot, mf_fail(MF_IO, "cannot write a copy of '%s': %s",
                                                    f->in->path, strerror(errno)));
        }
        f->file = -1;
        f->at++;
    }
    return MF_OK;
}

static mf_status write_part(fetch *f, const uint8_t *bytes, size_t size)
{
    mf_digest_add(f->digest, bytes, size);
    while (size) {
        ssize_t done = write(f->file, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return unwritten(f->job->pilot, mf_fail(MF_IO, "cannot write a copy of '%s': %s",
                                                    f->in->path, strerror(errno)));
        bytes += done;
        size -= (size_t)done;
    }
    return MF_OK;
}

static mf_status take_bytes(fetch *f, const uint8_t *bytes, size_t size)
{
    f->got += (int64_t)size;
    while (size) {
        if (f->at == f->count)
            return mf__pilot_damaged();
        int64_t left = f->files[f->at].size - f->of_file;
        size_t part = (int64_t)size < left ? size : (size_t)left;
        MF_TRY(write_part(f, bytes, part));
        f->of_file += (int64_t)part;
        bytes += part;
        size -= part;
        MF_TRY(next_files(f));
    }
    return MF_OK;
}

/* One batch, which was asked for. After an error the rest of it is still heard, and its answer. */
static mf_status take_batch(fetch *f)
{
    mf_status status = MF_OK;

    for (;;) {
        mf_frame frame;
        bool last;
        mf_status now = mf__pilot_next(f->job, &frame);
        if (now) {
            mf_error_free(status);
            return now;
        }
        last = frame.kind == MF_LINK_REPLY;
        if (last)
            now = mf_packet_get_status(&frame.body);
        else if (frame.kind != MF_LINK_BYTES)
            now = mf__pilot_damaged();
        else if (!status)
            now = take_bytes(f, frame.body.bytes + frame.body.at, frame.body.size - frame.body.at);
        mf_packet_clear(&frame.body);
        if (status)
            mf_error_free(now);
        else
            status = now;
        if (last)
            return status;
    }
}

static mf_status ask_batch(fetch *f, int64_t at)
{
    int64_t left = f->bytes - at;
    mf_packet q = {0};

    mf_packet_int(&q, f->number);
    mf_packet_int(&q, at);
    mf_packet_int(&q, left < (int64_t)MF_LINK_BATCH ? left : (int64_t)MF_LINK_BATCH);
    return mf__pilot_send(f->job, MF_LINK_READ, &q, NULL, 0);
}

/* All bytes; the next batch is asked for before the one before it is taken. */
static mf_status take_all(fetch *f)
{
    const int64_t step = (int64_t)MF_LINK_BATCH;
    int64_t asked = 0, taken = 0;
    mf_status status = next_files(f);

    while (!status && asked < f->bytes && asked < step) {
        status = ask_batch(f, asked);
        asked += step;
    }
    while (taken < asked) {
        mf_status now;
        if (!status && mf_host_cancelled(f->job->pilot->host))
            status = mf_fail(MF_CANCELLED, "cancelled");
        if (!status && asked < f->bytes) {
            status = ask_batch(f, asked);
            asked += step;
            if (status)
                return status;
        }
        now = take_batch(f);
        taken += step;
        if (!status)
            status = now;
        else
            mf_error_free(now);
    }
    return status || f->at == f->count ? status : mf__pilot_damaged();
}

/* In the order of the files, as mf_digest_path comes by them. */
static mf_status arrived_digest(void *self, const char *path, char hex[MF_HEX_SIZE])
{
    fetch *f = self;
    const char *name = path + strlen(f->in->local);

    for (size_t i = f->at; i < f->count; i++)
        if (!strcmp(f->files[i].name, name)) {
            memcpy(hex, f->files[i].hex, MF_HEX_SIZE);
            f->at = i + 1;
            return MF_OK;
        }
    return mf_digest_file(path, hex); /* of a part that shares files with one before it */
}

static mf_status check_parts(fetch *f)
{
    f->at = 0;
    for (size_t k = 0; k < f->in->count; k++) {
        mf_file_part *part = &f->in->parts[k];
        char hex[MF_HEX_SIZE];
        MF_TRY(mf_stamp_take(part->path, &part->stamp));
        MF_TRY(mf_digest_path(part->path, arrived_digest, f, hex));
        if (strcmp(hex, part->digest))
            return mf_file_changed(part);
    }
    return MF_OK;
}

static mf_status fetch_files(fetch *f, mf_packet *answer)
{
    mf_packet q = {0};

    mf_packet_int(&q, f->number);
    MF_TRY(mf__pilot_call(f->job, MF_LINK_FILES, &q, answer));
    MF_TRY(get_list(f, answer));
    MF_TRY(unwritten(f->job->pilot, mf_file_copy_begin(f->in->copy, f->bytes)));
    MF_TRY(mf_digest_new(&f->digest));
    MF_TRY(take_all(f));
    return check_parts(f);
}

static mf_status fetch_input(mf_pilot_job *j, input *in, size_t number)
{
    fetch f = {.job = j, .in = in, .number = (int64_t)number, .file = -1};
    mf_packet answer = {0};
    mf_status status;

    pthread_mutex_lock(&j->calling);
    status = fetch_files(&f, &answer);
    pthread_mutex_unlock(&j->calling);
    if (f.file >= 0)
        close(f.file);
    mf_digest_free(f.digest);
    free(f.files);
    mf_packet_clear(&answer);
    return status;
}

/* Stands for what the copy holds, with the names: a stage may choose by them how it reads. */
static mf_status name_copy(const input *in, char name[MF_HEX_SIZE])
{
    mf_digest *digest;

    MF_TRY(mf_digest_new(&digest));
    mf_digest_add_text(digest, "massflow copy 1");
    for (size_t k = 0; k < in->count; k++) {
        mf_digest_add_text(digest, in->names[k]);
        mf_digest_add_text(digest, in->parts[k].digest);
    }
    mf_digest_end_hex(digest, name);
    mf_digest_free(digest);
    return MF_OK;
}

static mf_status copy_input(mf_pilot_job *j, input *in, size_t number)
{
    char name[MF_HEX_SIZE];
    mf_copy_state state;
    mf_status status;

    MF_TRY(name_copy(in, name));
    MF_TRY(mf_file_cache_hold(j->pilot->file_cache, name, &state, &in->copy));
    status = set_local(in, mf_file_copy_folder(in->copy), "/");
    if (state == MF_COPY_READY) {
        for (size_t k = 0; k < in->count && !status; k++)
            status = mf_stamp_take(in->parts[k].path, &in->parts[k].stamp);
        return status;
    }
    if (!status && (state == MF_COPY_MISSING || !all_there(j->pilot, in)))
        status = fetch_input(j, in, number);
    mf_file_copy_done(in->copy, !status);
    return status;
}

/* ---- of a node ------------------------------------------------------------------------------- */

static mf_status get_input(mf_packet *p, input *in)
{
    in->path = mf_packet_get_text(p);
    in->folder = mf_packet_get_text(p);
    in->count = mf_packet_get_count(p);
    p->failed |= !in->path || !in->folder || !in->count;
    MF_TRY(mf_packet_check(p));
    in->names = calloc(in->count, sizeof *in->names);
    in->parts = calloc(in->count, sizeof *in->parts);
    if (!in->names || !in->parts)
        return mf_no_memory(0, "input files");
    for (size_t k = 0; k < in->count; k++) {
        const char *digest;
        uint8_t bytes[MF_DIGEST_BYTES];
        in->names[k] = mf_packet_get_text(p);
        digest = mf_packet_get_text(p);
        p->failed |= !in->names[k] || !digest || !mf_hex_decode(digest, bytes);
        MF_TRY(mf_packet_check(p));
        strcpy(in->parts[k].digest, digest);
    }
    return set_local(in, in->folder, "");
}

static mf_status get_inputs(mf_packet *p, mf_pilot_files *f)
{
    size_t count = mf_packet_get_count(p);

    MF_TRY(mf_packet_check(p));
    f->inputs = calloc(count + 1, sizeof *f->inputs);
    f->watched = calloc(count + 1, sizeof *f->watched);
    if (!f->inputs || !f->watched)
        return mf_no_memory(0, "input files");
    for (; f->count < count; f->count++) /* what was begun is freed, too */
        MF_TRY(get_input(p, &f->inputs[f->count]));
    return MF_OK;
}

mf_status mf__pilot_get_files(mf_pilot_job *j, mf_packet *p)
{
    mf_pilot_files *f = calloc(1, sizeof *f);

    if (!f)
        return mf_no_memory(0, "input files");
    f->job = j;
    pthread_mutex_lock(&j->pilot->lock);
    j->files = f;
    pthread_mutex_unlock(&j->pilot->lock);
    MF_TRY(get_inputs(p, f));
    for (size_t i = 0; i < f->count; i++) {
        input *in = &f->inputs[i];
        if (!all_there(j->pilot, in))
            MF_TRY(copy_input(j, in, i));
        f->watched[i] = (mf_file_input){in->parts, in->count};
    }
    return mf_file_watch_copies(f->watched, f->count, &f->watch);
}

static void clear_input(input *in)
{
    mf_file_copy_release(in->copy);
    for (size_t k = 0; in->parts && k < in->count; k++)
        free(in->parts[k].path);
    free(in->parts);
    free(in->names);
    free(in->local);
}

void mf__pilot_free_files(mf_pilot_files *f)
{
    if (!f)
        return;
    mf_file_watch_free(f->watch);
    for (size_t i = 0; f->inputs && (i < f->count || f->inputs[i].path); i++)
        clear_input(&f->inputs[i]);
    free(f->inputs);
    free(f->watched);
    free(f);
}

const mf_file_watch *mf__pilot_watch(const mf_pilot_files *f)
{
    return f->watch;
}

const char *mf__pilot_path(void *self, const char *path)
{
    const mf_pilot_files *f = self;

    for (size_t i = 0; i < f->count; i++)
        if (!strcmp(f->inputs[i].path, path))
            return f->inputs[i].parts[0].path;
    return NULL;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* `from` becomes `to`; takes over the text, NULL where memory is short. */
static char *replace(char *text, const char *from, const char *to, size_t to_length)
{
    size_t from_length = strlen(from), count = 0;
    char *out, *at;

    for (char *c = text; (c = strstr(c, from)); c += from_length)
        count++;
    if (!count)
        return text;
    out = malloc(strlen(text) + count * to_length + 1);
    at = out;
    for (const char *c = text, *next; out; c = next + from_length) {
        next = strstr(c, from);
        if (!next) {
            strcpy(at, c);
            break;
        }
        memcpy(at, c, (size_t)(next - c));
        at += next - c;
        memcpy(at, to, to_length);
        at += to_length;
    }
    free(text);
    return out;
}

char *mf__pilot_words(const mf_pilot_files *f, const char *text)
{
    char *out = strdup(text);

    for (size_t i = 0; f && i < f->count && out; i++) {
        const input *in = &f->inputs[i];
        size_t length = mf_file_folder(in->path);
        if (in->local && *in->local &&
            (strlen(in->local) != length || strncmp(in->local, in->path, length) != 0))
            out = replace(out, in->local, in->path, length);
    }
    return out;
}

mf_status mf__pilot_named(const mf_pilot_files *f, mf_status status)
{
    mf_code code;
    char *text, *words;

    if (!status || !f)
        return status;
    code = mf_error_code(status);
    text = mf_error_text(status);
    words = text ? mf__pilot_words(f, text) : NULL;
    if (words && strcmp(words, text)) {
        mf_error_free(status);
        status = mf_fail(code, "%s", words);
    }
    free(text);
    free(words);
    return status;
}
