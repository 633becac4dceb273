/* offer.c - see offer.h. */
#include "run/remote/offer.h"

#include <massflow/file.h>
#include <massflow/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct offered_file {
    char *path;
    const char *name; /* from the folder on; a piece of `path` */
    int64_t start, size;
    bool program; /* its owner may execute it */
    const mf_file_part *part;
} offered_file;

/* What one input consists of, once it was asked for. */
typedef struct listing {
    offered_file *files;
    size_t count;
    int64_t bytes;
    bool known;
} listing;

struct mf_offer {
    mf_store *store;
    const mf_file_input *inputs;
    size_t count;
    listing *listings;
    const offered_file *open; /* that `file` is of */
    int file;
    uint8_t *slice;
};

mf_status mf_offer_new(const mf_file_watch *files, mf_store *store, mf_offer **offer)
{
    mf_offer *o = calloc(1, sizeof *o);

    *offer = NULL;
    if (!o)
        return mf_no_memory(0, "input files");
    o->file = -1;
    o->store = store;
    if (files)
        o->inputs = mf_file_watch_inputs(files, &o->count);
    o->listings = calloc(o->count + 1, sizeof *o->listings);
    if (!o->listings) {
        free(o);
        return mf_no_memory(0, "input files");
    }
    *offer = o;
    return MF_OK;
}

static void close_file(mf_offer *o)
{
    if (o->file >= 0)
        close(o->file);
    o->file = -1;
    o->open = NULL;
}

static void clear_listing(listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->files[i].path);
    free(l->files);
    *l = (listing){0};
}

void mf_offer_free(mf_offer *o)
{
    if (!o)
        return;
    close_file(o);
    for (size_t i = 0; i < o->count; i++)
        clear_listing(&o->listings[i]);
    free(o->listings);
    free(o->slice);
    free(o);
}

/* ---- telling --------------------------------------------------------------------------------- */

static mf_status put_folder(mf_packet *p, const char *path)
{
    size_t length = mf_file_folder(path);
    char *here = *path == '/' ? NULL : getcwd(NULL, 0), *folder = NULL;

    if (*path != '/' && !here)
        return mf_fail(MF_IO, "cannot tell where '%s' lies: %s", path, strerror(errno));
    if (asprintf(&folder, "%s%s%.*s", here ? here : "", here ? "/" : "", (int)length, path) < 0)
        folder = NULL;
    free(here);
    mf_packet_text(p, folder);
    p->failed |= !folder;
    free(folder);
    return MF_OK;
}

mf_status mf_offer_put(const mf_offer *o, mf_packet *p)
{
    mf_packet_int(p, (int64_t)o->count);
    for (size_t i = 0; i < o->count; i++) {
        const mf_file_input *input = &o->inputs[i];
        const char *path = input->parts[0].path;
        mf_packet_text(p, path);
        MF_TRY(put_folder(p, path));
        mf_packet_int(p, (int64_t)input->count);
        for (size_t k = 0; k < input->count; k++) {
            const char *name = mf_file_below(path, input->parts[k].path);
            if (!name)
                return mf_fail(MF_INTERNAL, "'%s' does not lie with '%s'", input->parts[k].path,
                               path);
            mf_packet_text(p, name);
            mf_packet_text(p, input->parts[k].digest);
        }
    }
    return MF_OK;
}

/* ---- listing --------------------------------------------------------------------------------- */

typedef struct lister {
    mf_offer *offer;
    const mf_file_input *input;
    const mf_file_part *part;
    listing *listing;
} lister;

/* A file that two parts have goes once. */
static bool listed(const lister *l, const char *name)
{
    for (size_t i = 0; l->input->count > 1 && i < l->listing->count; i++)
        if (!strcmp(l->listing->files[i].name, name))
            return true;
    return false;
}

static mf_status list_file(lister *l, const char *path, int64_t size, bool program)
{
    listing *list = l->listing;
    const char *name = mf_file_below(l->input->parts[0].path, path);
    offered_file *grown, *f;

    if (!name)
        return mf_fail(MF_INTERNAL, "'%s' does not lie with '%s'", path, l->input->parts[0].path);
    if (listed(l, name))
        return MF_OK;
    grown = mf_list_more(list->files, list->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "the files of %s", l->part->path);
    list->files = grown;
    f = &list->files[list->count];
    *f = (offered_file){.path = strdup(path),
                        .start = list->bytes,
                        .size = size,
                        .program = program,
                        .part = l->part};
    if (!f->path)
        return mf_no_memory(0, "the files of %s", l->part->path);
    f->name = f->path + (name - path);
    list->count++;
    list->bytes += size;
    return MF_OK;
}

static mf_status list_one(void *self, const char *path, char hex[MF_HEX_SIZE])
{
    lister *l = self;
    struct stat st;

    if (stat(path, &st) != 0)
        return mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    MF_TRY(list_file(l, path, (int64_t)st.st_size, st.st_mode & S_IXUSR));
    return mf_store_file(l->offer->store, path, hex);
}

static mf_status list_folder(lister *l)
{
    char *path;
    mf_status status;

    if (asprintf(&path, "%s/", l->part->path) < 0)
        return mf_no_memory(0, "the files of %s", l->part->path);
    status = list_file(l, path, 0, false);
    free(path);
    return status;
}

static mf_status list_part(lister *l)
{
    char hex[MF_HEX_SIZE];
    size_t before = l->listing->count;
    struct stat st;

    MF_TRY(mf_digest_path(l->part->path, list_one, l, hex));
    if (strcmp(hex, l->part->digest))
        return mf_file_changed(l->part);
    if (l->listing->count == before && stat(l->part->path, &st) == 0 && S_ISDIR(st.st_mode))
        return list_folder(l);
    return MF_OK;
}

static mf_status list_input(mf_offer *o, size_t i)
{
    lister l = {.offer = o, .input = &o->inputs[i], .listing = &o->listings[i]};
    mf_status status = MF_OK;

    if (l.listing->known)
        return MF_OK;
    for (size_t k = 0; k < l.input->count && !status; k++) {
        l.part = &l.input->parts[k];
        status = list_part(&l);
    }
    l.listing->known = !status;
    if (status)
        clear_listing(l.listing);
    return status;
}

static mf_status get_number(const mf_offer *o, mf_packet *q, size_t *i)
{
    int64_t number = mf_packet_get_int(q);

    MF_TRY(mf_packet_check(q));
    if (number < 0 || (size_t)number >= o->count)
        return mf_fail(MF_INVALID, "the node has no input file %lld", (long long)number);
    *i = (size_t)number;
    return MF_OK;
}

mf_status mf_offer_list(mf_offer *o, mf_packet *q, mf_packet *p)
{
    size_t i = 0;

    MF_TRY(get_number(o, q, &i));
    MF_TRY(list_input(o, i));
    mf_packet_int(p, (int64_t)o->listings[i].count);
    for (size_t k = 0; k < o->listings[i].count; k++) {
        mf_packet_text(p, o->listings[i].files[k].name);
        mf_packet_int(p, o->listings[i].files[k].size);
        mf_packet_int(p, o->listings[i].files[k].program);
    }
    return MF_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The first file that ends behind `at`. */
static const offered_file *file_at(const listing *l, int64_t at)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->files[middle].start + l->files[middle].size <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return &l->files[low];
}

static mf_status open_file(mf_offer *o, const offered_file *f)
{
    int64_t size;

    if (o->open == f)
        return MF_OK;
    close_file(o);
    MF_TRY(mf_file_descriptor(f->path, &o->file, &size));
    o->open = f;
    return size == f->size ? MF_OK : mf_file_changed(f->part);
}

/* Of one file, as much as a slice holds. */
static mf_status read_slice(mf_offer *o, const offered_file *f, int64_t at, size_t size)
{
    MF_TRY(open_file(o, f));
    for (size_t got = 0; got < size;) {
        ssize_t done = pread(o->file, o->slice + got, size - got, at - f->start + (int64_t)got);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return mf_fail(MF_IO, "cannot read '%s': %s", f->path, strerror(errno));
        if (done == 0)
            return mf_file_changed(f->part);
        got += (size_t)done;
    }
    return MF_OK;
}

mf_status mf_offer_read(mf_offer *o, mf_packet *q,
                        mf_status (*call)(void *self, const void *bytes, size_t size), void *self)
{
    size_t i = 0;
    int64_t at, end;
    const listing *l;

    MF_TRY(get_number(o, q, &i));
    at = mf_packet_get_int(q);
    end = mf_packet_get_int(q);
    MF_TRY(mf_packet_check(q));
    MF_TRY(list_input(o, i));
    l = &o->listings[i];
    if (at < 0 || end < 0 || at > l->bytes || end > l->bytes - at)
        return mf_fail(MF_INVALID, "%s has %lld bytes", o->inputs[i].parts[0].path,
                       (long long)l->bytes);
    if (!o->slice)
        o->slice = malloc(MF_OFFER_SLICE);
    if (!o->slice)
        return mf_no_memory(MF_OFFER_SLICE, "input files");
    for (end += at; at < end;) {
        const offered_file *f = file_at(l, at);
        int64_t left = f->start + f->size - at < end - at ? f->start + f->size - at : end - at;
        size_t size = left < (int64_t)MF_OFFER_SLICE ? (size_t)left : MF_OFFER_SLICE;
        MF_TRY(read_slice(o, f, at, size));
        MF_TRY(call(self, o->slice, size));
        at += (int64_t)size;
    }
    return MF_OK;
}
