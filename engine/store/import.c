/* import.c - reads what move.c wrote, which may come from anybody.
 *
 * The file is read four times, so that nothing of a damaged one is taken, nor of an action whose
 * artifacts are not what they say they are:
 *   its sum, and whether each section can be read
 *   chunks, each against its digest: stored, though nothing names them yet (gc would drop them)
 *   artifacts, whose arrays can be read now: held against their types, by whoever knows types
 *   artifacts and actions: recorded, where nothing of an action was refused
 * From the third time on chunks are passed over. */
#include "store/check.h"
#include "store/cursor.h"

#include <errno.h>
#include <massflow/file.h>
#include <massflow/memory.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum reading { SCAN, CHUNKS, CHECK, TAKE } reading;

/* What is known of an artifact of the file. */
typedef struct arrival {
    char *type;
    char *why;   /* it is refused; NULL: it is not */
    bool wanted; /* by an action that is taken */
} arrival;

typedef struct loader {
    const char *path;
    FILE *file;
    reading turn;
    mf_digest *digest;
    mf_store *store;
    mf__reader *reader;
    mf__ticket ticket;
    mf__scratch scratch;
    mf__buffer body;
    mf_import import;             /* num 0: not recorded yet */
    uint8_t sum[MF_DIGEST_BYTES]; /* of the whole file */
    mf_action place;              /* of the next action: key, device, host, created */
    mf__map artifacts;            /* value: number in arrivals, and one */
    arrival *arrivals;
    size_t arrival_count;
    bool *refused; /* an action each, in order */
    size_t action_count, action;
    const mf_import_calls *calls;
    mf_moved *moved;
} loader;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "carrying a cache");
}

static mf_status damaged(const loader *l, const char *what)
{
    return mf_fail(MF_CORRUPT, "'%s' is damaged: %s", l->path, what);
}

/* ---- sections -------------------------------------------------------------------------------- */

static mf_status get_bytes(loader *l, void *to, size_t size)
{
    if (fread(to, 1, size, l->file) == size)
        return MF_OK;
    if (ferror(l->file))
        return mf_fail(MF_IO, "cannot read '%s': %s", l->path, strerror(errno));
    return damaged(l, "it ends too early");
}

/* Memory grows with what is really there. */
static mf_status get_body(loader *l, uint64_t size, bool sum)
{
    l->body.size = 0;
    for (uint8_t step[4096]; size > 0;) {
        size_t part = size < sizeof step ? (size_t)size : sizeof step;
        MF_TRY(get_bytes(l, step, part));
        if (sum)
            mf_digest_add(l->digest, step, part);
        mf__buffer_add(&l->body, step, part);
        size -= part;
    }
    return l->body.failed ? no_memory() : MF_OK;
}

static mf_status check_sum(loader *l)
{
    mf_digest_end(l->digest, l->sum);
    if (l->body.size == sizeof l->sum && !memcmp(l->body.bytes, l->sum, sizeof l->sum))
        return MF_OK;
    return damaged(l, "its bytes do not match its sum");
}

static bool passed_over(const loader *l, char letter)
{
    switch (l->turn) {
    case SCAN:
        return false;
    case CHUNKS:
        return letter != 'c';
    default:
        return letter == 'c';
    }
}

/* The next section's letter, and its body in l->body unless it is passed over (*here false). */
static mf_status get_section(loader *l, char *letter, bool *here)
{
    uint8_t head[9];
    uint64_t size = 0;
    MF_TRY(get_bytes(l, head, sizeof head));
    for (int i = 0; i < 8; i++)
        size |= (uint64_t)head[1 + i] << (8 * i);
    *letter = (char)head[0];
    if (size > (uint64_t)MF__MOST_BODY)
        return damaged(l, "a section is too large");
    *here = !passed_over(l, *letter);
    if (!*here)
        return fseeko(l->file, (off_t)size, SEEK_CUR) == 0
                   ? MF_OK
                   : mf_fail(MF_IO, "cannot read '%s': %s", l->path, strerror(errno));
    bool sum = l->turn == SCAN && *letter != 'z';
    if (sum)
        mf_digest_add(l->digest, head, sizeof head);
    MF_TRY(get_body(l, size, sum));
    return l->turn == SCAN && *letter == 'z' ? check_sum(l) : MF_OK;
}

static mf__cursor cut_body(const loader *l)
{
    return (mf__cursor){.at = l->body.bytes, .left = l->body.size};
}

/* A name that is shown to people: short, and one line. */
static char *cut_name(mf__cursor *c)
{
    char *text = mf__take_text(c);
    for (const unsigned char *t = (const unsigned char *)text; t && *t; t++)
        c->failed = c->failed || *t < 0x20 || *t == 0x7f || t - (const unsigned char *)text > 254;
    return text;
}

/* A time that lies behind us, or 0. */
static int64_t cut_past(mf__cursor *c)
{
    int64_t at = mf__take_int(c), now = mf__now();
    return at < 0 ? 0 : at > now ? now : at;
}

/* That nothing is missing or left over. */
static mf_status cut_end(const loader *l, const mf__cursor *c, const char *what)
{
    if (c->short_of_memory)
        return no_memory();
    return c->failed || c->left ? damaged(l, what) : MF_OK;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static mf_status read_chunk(loader *l)
{
    mf__cursor c = cut_body(l);
    const uint8_t *digest = mf__take(&c, MF_DIGEST_BYTES);
    int64_t raw = mf__take_int(&c), stored;
    const uint8_t *codec = mf__take(&c, 1);
    uint8_t *bytes = NULL, got[MF_DIGEST_BYTES];
    if (c.failed || raw <= 0 || raw > (int64_t)MF__PIECE)
        return damaged(l, "a chunk does not match its digest");
    if (l->turn == SCAN)
        return MF_OK;
    MF_TRY(mf__chunk_expand(&l->scratch, *codec, c.at, c.left, (size_t)raw, &bytes));
    if (bytes)
        mf_digest_bytes(bytes, (size_t)raw, got);
    if (!bytes || memcmp(got, digest, sizeof got))
        return damaged(l, "a chunk does not match its digest");
    l->moved->chunks++;
    MF_TRY(mf__chunk_find(l->reader, digest, (size_t)raw, &stored));
    if (stored >= 0)
        return MF_OK;
    l->moved->bytes += (int64_t)c.left;
    return mf__chunk_keep(l->store, &l->ticket, digest, (size_t)raw, *codec, c.at, c.left);
}

/* ---- artifacts ------------------------------------------------------------------------------- */

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

/* Chunks may be in the other file of the store than one that counts on them looks in. */
static mf_status find_chunks(arrived *a)
{
    return a->present ? mf__record_chunks(a->record, a->size, find_chunk, a) : MF_OK;
}

static mf_status add_arrival(loader *l, const arrived *a)
{
    mf__map_entry *entry;
    MF_TRY(mf__map_add(&l->artifacts, a->id, &entry));
    if (entry->value)
        return damaged(l, "an artifact stands in it twice");
    arrival *grown = mf_list_more(l->arrivals, l->arrival_count, sizeof *grown);
    if (!grown)
        return no_memory();
    l->arrivals = grown;
    char *type = strdup(a->type);
    if (!type)
        return no_memory();
    l->arrivals[l->arrival_count++] = (arrival){.type = type};
    entry->value = (int64_t)l->arrival_count;
    return MF_OK;
}

static arrival *find_arrival(const loader *l, const char *id)
{
    uint8_t digest[MF_DIGEST_BYTES];
    const mf__map_entry *entry =
        mf_hex_decode(id, digest) ? mf__map_find(&l->artifacts, digest) : NULL;
    return entry ? &l->arrivals[entry->value - 1] : NULL;
}

/* Whether an error is about what was read, and not about this machine. */
static bool is_judgement(mf_status status)
{
    mf_code code = mf_error_code(status);
    return code != MF_NO_MEMORY && code != MF_IO && code != MF_CANCELLED;
}

/* What an array says of its chunk; else whoever reads it finds out. */
static mf_status check_piece(void *self, const uint8_t *digest, size_t size)
{
    const loader *l = self;
    char hex[MF_HEX_SIZE];
    int64_t raw;
    MF_TRY(mf__chunk_raw(l->reader, digest, &raw));
    if (raw == (int64_t)size)
        return MF_OK;
    mf_hex_encode(digest, hex);
    return mf_fail(MF_CORRUPT, "chunk %.*s has %lld bytes, not %zu", MF__SHORT_ID, hex,
                   (long long)raw, size);
}

/* Opens the record, as if it were stored, and holds it against its type. */
static mf_status judge_artifact(arrived *a, arrival *known)
{
    loader *l = a->loader;
    char id[MF_HEX_SIZE];
    mf_artifact *artifact;
    uint8_t *record;
    if (!l->calls || !l->calls->artifact)
        return MF_OK;
    if (!(record = malloc(a->size ? a->size : 1)))
        return no_memory();
    memcpy(record, a->record, a->size);
    mf_hex_encode(a->id, id);
    mf_status status = mf__lazy_new(l->store, id, record, a->size, &artifact);
    if (!status && a->present)
        status = mf__record_pieces(a->record, a->size, check_piece, l);
    if (!status)
        status = l->calls->artifact(l->calls->self, artifact, a->present);
    mf_artifact_unref(artifact);
    if (!status || !is_judgement(status))
        return status;
    if (asprintf(&known->why, "artifact %.*s: %s", MF__SHORT_ID, id, mf_error_message(status)) < 0)
        known->why = NULL;
    mf_error_free(status);
    return known->why ? MF_OK : no_memory();
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

static mf_status take_artifact(arrived *a)
{
    loader *l = a->loader;
    char id[MF_HEX_SIZE];
    mf_hex_encode(a->id, id);
    arrival *known = find_arrival(l, id);
    if (l->turn == SCAN)
        return add_arrival(l, a);
    if (!known)
        return damaged(l, "it is being changed");
    MF_TRY(find_chunks(a));
    if (l->turn == CHECK)
        return judge_artifact(a, known);
    if (!known->wanted || known->why)
        return MF_OK;
    l->moved->artifacts++;
    return mf__write(l->store, insert_artifact, a);
}

static mf_status read_artifact(loader *l)
{
    mf__cursor c = cut_body(l);
    const uint8_t *id = mf__take(&c, MF_DIGEST_BYTES), *present = mf__take(&c, 1);
    arrived a = {.loader = l, .record = c.at, .size = c.left};
    uint8_t got[MF_DIGEST_BYTES];
    char *type = NULL;
    if (!c.failed)
        mf_digest_bytes(c.at, c.left, got);
    if (c.failed || memcmp(got, id, sizeof got))
        return damaged(l, "the record of an artifact does not match its id");
    memcpy(a.id, id, sizeof a.id);
    a.present = *present != 0;
    mf_status status = mf__record_type(c.at, c.left, &type);
    a.type = type;
    if (!status)
        status = mf__record_bytes(c.at, c.left, &a.bytes);
    if (status && mf_error_code(status) == MF_CORRUPT) {
        mf_error_free(status);
        status = damaged(l, "the record of an artifact can't be read");
    }
    if (!status)
        status = take_artifact(&a);
    free(type);
    return status;
}

/* ---- actions --------------------------------------------------------------------------------- */

static mf_status check_key(loader *l, const mf_action *a)
{
    char hex[MF_HEX_SIZE];
    mf_digest_hex(a->components, strlen(a->components), hex);
    return !strcmp(hex, a->key) ? MF_OK : damaged(l, "an action does not match its key");
}

static mf_status read_outputs(loader *l, mf__cursor *c, mf_action *a)
{
    size_t count = mf__take_count(c, 16 + MF_DIGEST_BYTES);
    if (c->failed)
        return damaged(l, "an action has no such number of outputs");
    a->outputs = calloc(count + 1, sizeof *a->outputs);
    if (!a->outputs)
        return no_memory();
    for (; a->output_count < count && !c->failed; a->output_count++) {
        mf_action_output *o = &a->outputs[a->output_count];
        o->port = cut_name(c);
        o->position = mf__take_int(c);
        const uint8_t *id = mf__take(c, MF_DIGEST_BYTES);
        if (id)
            mf_hex_encode(id, o->id);
    }
    return MF_OK;
}

static int by_port(const void *a, const void *b)
{
    const mf_action_output *x = a, *y = b;
    int order = strcmp(x->port, y->port);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static mf_status check_outputs(loader *l, mf_action *a)
{
    if (a->output_count)
        qsort(a->outputs, a->output_count, sizeof *a->outputs, by_port);
    for (size_t i = 0; i < a->output_count; i++) {
        if (i && by_port(&a->outputs[i - 1], &a->outputs[i]) == 0)
            return damaged(l, "an action names an output twice");
        if (!find_arrival(l, a->outputs[i].id))
            return damaged(l, "an action names an artifact that is not there");
    }
    return MF_OK;
}

static mf_status read_fields(loader *l, mf_action *a)
{
    mf__cursor c = cut_body(l);
    const uint8_t *key = mf__take(&c, MF_DIGEST_BYTES);
    a->device = cut_name(&c);
    a->stage = cut_name(&c);
    a->components = mf__take_text(&c);
    int64_t bits = mf__take_int(&c);
    memcpy(&a->seconds, &bits, sizeof bits);
    a->peak_bytes = mf__take_int(&c);
    MF_TRY(read_outputs(l, &c, a));
    MF_TRY(cut_end(l, &c, "an action can't be read"));
    /* -0 would come back from the cache as 0, and not match the sum of its row */
    if (!isfinite(a->seconds) || signbit(a->seconds) || a->peak_bytes < 0)
        return damaged(l, "an action took less than no time or memory");
    mf_hex_encode(key, a->key);
    MF_TRY(check_outputs(l, a));
    return check_key(l, a);
}

static mf_status read_header(loader *l)
{
    mf__cursor c = cut_body(l);
    free(l->import.host);
    free(l->import.exporter);
    l->import.host = cut_name(&c);
    l->import.exporter = cut_name(&c);
    l->import.exported = cut_past(&c);
    return cut_end(l, &c, "where it is from can't be read");
}

static void forget_place(loader *l)
{
    free((char *)l->place.device);
    free((char *)l->place.host);
    l->place = (mf_action){0};
}

static mf_status read_place(loader *l)
{
    mf__cursor c = cut_body(l);
    const uint8_t *key = mf__take(&c, MF_DIGEST_BYTES);
    forget_place(l);
    if (key)
        mf_hex_encode(key, l->place.key);
    l->place.device = mf__take_text(&c);
    l->place.host = cut_name(&c);
    l->place.created = cut_past(&c);
    return cut_end(l, &c, "where an action was made can't be read");
}

/* The first action that is new records where all of them are from. */
static mf_status begin_import(loader *l)
{
    char *file = l->import.num ? NULL : realpath(l->path, NULL);
    mf_import import = l->import;
    if (l->import.num)
        return MF_OK;
    import.file = file ? file : (char *)l->path;
    import.user = (char *)mf__user_name();
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
    if (!l->calls || !l->calls->conflict)
        return MF_OK;
    for (size_t i = 0; differs && i < here->output_count; i++)
        if (!strcmp(here->outputs[i].port, differs->port) &&
            here->outputs[i].position == differs->position)
            c.here = here->outputs[i].id;
    MF_TRY(mf_store_maker(l->store, here->run, here->key, &node));
    c.node = node;
    l->calls->conflict(l->calls->self, &c);
    free(node);
    return MF_OK;
}

/* Whether the store has just this already: made by that device, with those outputs. */
static bool has_it(mf_action **actions, size_t count, const mf_action *a)
{
    const mf_action_output *differs;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(actions[i]->device, a->device) && mf__same_outputs(actions[i], a, &differs))
            return true;
    return false;
}

/* What its key stands for here stays, see MF__ACTION. */
static mf_status record_action(loader *l, mf_action *a)
{
    uint8_t key[MF_DIGEST_BYTES];
    mf_action **here = NULL;
    const mf_action_output *differs;
    size_t count = 0;
    l->moved->actions++;
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

static void refuse(loader *l, const mf_action *a, const char *port, const char *why)
{
    l->refused[l->action] = true;
    l->moved->refused++;
    if (l->calls && l->calls->refused)
        l->calls->refused(l->calls->self, &(mf_refused){a->key, a->stage, port, why});
}

static mf_status judge_outputs(loader *l, const mf_action *a)
{
    const char **types = calloc(a->output_count + 1, sizeof *types);
    mf_status status = MF_OK;
    if (!types)
        return no_memory();
    for (size_t i = 0; i < a->output_count; i++)
        types[i] = find_arrival(l, a->outputs[i].id)->type;
    if (l->calls && l->calls->action)
        status = l->calls->action(l->calls->self, a, types);
    free(types);
    return status;
}

static mf_status judge_action(loader *l, const mf_action *a)
{
    for (size_t i = 0; i < a->output_count; i++) {
        const arrival *known = find_arrival(l, a->outputs[i].id);
        if (known->why) {
            refuse(l, a, a->outputs[i].port, known->why);
            return MF_OK;
        }
    }
    mf_status status = judge_outputs(l, a);
    if (status && is_judgement(status)) {
        refuse(l, a, NULL, mf_error_message(status));
        mf_error_free(status);
        return MF_OK;
    }
    for (size_t i = 0; i < a->output_count && !status; i++)
        find_arrival(l, a->outputs[i].id)->wanted = true;
    return status;
}

static mf_status take_action(loader *l, mf_action *a)
{
    bool placed =
        !strcmp(l->place.key, a->key) && l->place.device && !strcmp(l->place.device, a->device);
    mf_status status = MF_OK;
    a->created = placed ? l->place.created : 0;
    a->host = strdup(placed ? l->place.host : "");
    if (!a->host)
        return no_memory();
    if (l->turn == SCAN)
        l->action_count++;
    else if (l->action >= l->action_count)
        status = damaged(l, "it is being changed");
    else if (l->turn == CHECK)
        status = judge_action(l, a);
    else if (!l->refused[l->action])
        status = record_action(l, a);
    l->action++;
    return status;
}

static mf_status read_action(loader *l)
{
    mf_action *a = calloc(1, sizeof *a);
    if (!a)
        return no_memory();
    mf_status status = read_fields(l, a);
    if (!status)
        status = take_action(l, a);
    mf_action_free(a);
    return status;
}

/* ---- all ------------------------------------------------------------------------------------- */

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

/* From the beginning to the end. */
static mf_status read_all(loader *l, reading turn)
{
    char magic[sizeof MF__MOVE_MAGIC - 1], letter = 0;
    l->turn = turn;
    l->action = 0;
    forget_place(l);
    rewind(l->file);
    MF_TRY(get_bytes(l, magic, sizeof magic));
    if (memcmp(magic, MF__MOVE_MAGIC, sizeof magic))
        return mf_fail(MF_INVALID, "'%s' is not an export of a cache, or of a newer massflow",
                       l->path);
    if (turn == SCAN)
        mf_digest_add(l->digest, magic, sizeof magic);
    while (letter != 'z') {
        bool here = false;
        MF_TRY(get_section(l, &letter, &here));
        if (here)
            MF_TRY(take_section(l, letter));
    }
    if (turn == CHUNKS) /* they are there before anything is read of them */
        MF_TRY(mf__wait(l->store, &l->ticket));
    return fgetc(l->file) == EOF ? MF_OK : damaged(l, "bytes follow its end");
}

static mf_status read_passes(loader *l)
{
    MF_TRY(read_all(l, SCAN));
    l->refused = calloc(l->action_count + 1, sizeof *l->refused);
    if (!l->refused)
        return no_memory();
    for (int turn = CHUNKS; turn <= TAKE; turn++)
        MF_TRY(read_all(l, (reading)turn));
    return MF_OK;
}

static void clear(loader *l)
{
    if (l->reader)
        mf__reader_put(l->store, l->reader);
    if (l->file)
        fclose(l->file);
    mf_digest_free(l->digest);
    mf__scratch_clear(&l->scratch);
    forget_place(l);
    for (size_t i = 0; i < l->arrival_count; i++) {
        free(l->arrivals[i].type);
        free(l->arrivals[i].why);
    }
    free(l->arrivals);
    free(l->refused);
    mf__map_clear(&l->artifacts);
    free(l->import.host);
    free(l->import.exporter);
    free(l->body.bytes);
}

mf_status mf_store_import(mf_store *store, const char *path, const mf_import_calls *calls,
                          mf_moved *moved)
{
    loader l = {.path = path, .store = store, .calls = calls, .moved = moved};
    int64_t size;
    *moved = (mf_moved){0};
    mf_status status = mf_file_open(path, &l.file, &size);
    if (!status)
        status = mf_digest_new(&l.digest);
    if (!status)
        status = mf__reader_get(store, &l.reader);
    mf_store_pin(store); /* chunks come before what names them */
    if (!status)
        status = read_passes(&l);
    mf_status waited = mf__wait(store, &l.ticket);
    if (status)
        mf_error_free(waited);
    else
        status = waited;
    mf_store_unpin(store);
    clear(&l);
    return mf_within(status, "while importing");
}
