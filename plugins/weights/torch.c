/* torch.c - see torch.h. */
#include "torch.h"
#include "number.h"
#include "pickle.h"

#include <massflow/memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

/* Tensors may share a storage: tied weights, views, one value expanded. All that a file's names
 * stand for takes at most so many times the file. */
enum { MOST_TIMES = 4 };

/* A tensor that is to be read. */
typedef struct wanted {
    char *name;
    const pickle_tensor *tensor;
    const mf_number *number;
    mf_array *array; /* NULL until its storage is read */
} wanted;

typedef struct checkpoint {
    zip_t *zip;
    size_t file_size;
    char *prefix; /* of all entries: "archive/" */
    pickle *pickle;
    const pickle_value *root;
    wanted *item;
    size_t count;
    size_t bytes;    /* that these take, in the file's numbers */
    size_t storages; /* bytes of those read */
} checkpoint;

static const char anew[] =
    "in Python: torch.save(torch.load(\"it.pt\", weights_only=True), \"new.pt\")";
static const char again[] = "copy or download it again";

static mf_status no_name(void)
{
    return mf_no_memory(0, "a name");
}

/* ---- the zip --------------------------------------------------------------------------------- */

/* Where the bytes of an entry stand. PyTorch never compresses, so none is larger than the file. */
static mf_status find_entry(const checkpoint *c, const char *name, zip_stat_t *stat)
{
    const zip_uint64_t known =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat(c->zip, name, 0, stat))
        return mf_hint(mf_fail(MF_CORRUPT, "its zip has no entry %s", name), "%s", again);
    if ((stat->valid & known) != known || stat->comp_method != ZIP_CM_STORE ||
        stat->encryption_method != ZIP_EM_NONE)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "the entry %s of its zip is compressed or encrypted, which PyTorch "
                               "never does",
                               name),
                       "%s", anew);
    if (stat->size > c->file_size || stat->size != stat->comp_size)
        return mf_hint(mf_fail(MF_CORRUPT,
                               "the entry %s of its zip would have %llu bytes, the file has %zu",
                               name, (unsigned long long)stat->size, c->file_size),
                       "%s", again);
    return MF_OK;
}

/* All bytes of an entry. libzip holds them against its checksum when it is asked for one more. */
static mf_status read_entry(const checkpoint *c, const zip_stat_t *stat, void *to)
{
    const size_t size = (size_t)stat->size;
    uint8_t more;
    zip_file_t *file = zip_fopen_index(c->zip, stat->index, 0);
    if (!file)
        return mf_hint(
            mf_fail(MF_CORRUPT, "the entry %s of its zip: %s", stat->name, zip_strerror(c->zip)),
            "%s", again);
    zip_int64_t got = 0;
    size_t done = 0;
    while (done < size && (got = zip_fread(file, (uint8_t *)to + done, size - done)) > 0)
        done += (size_t)got;
    mf_status status = MF_OK;
    if (done < size)
        status = mf_fail(MF_CORRUPT, "the entry %s of its zip ends after %zu of %zu bytes: %s",
                         stat->name, done, size, zip_file_strerror(file));
    else if (zip_fread(file, &more, 1) != 0)
        status = mf_fail(MF_CORRUPT, "the entry %s of its zip is damaged: %s", stat->name,
                         zip_file_strerror(file));
    zip_fclose(file);
    return mf_hint(status, "%s", again);
}

static mf_status find_prefix(checkpoint *c)
{
    static const char tail[] = "data.pkl";
    for (zip_int64_t i = 0; i < zip_get_num_entries(c->zip, 0); i++) {
        const char *name = zip_get_name(c->zip, (zip_uint64_t)i, 0);
        size_t length = name ? strlen(name) : 0;
        if (length < sizeof tail || strcmp(name + length - (sizeof tail - 1), tail) ||
            name[length - sizeof tail] != '/')
            continue;
        c->prefix = strndup(name, length - (sizeof tail - 1));
        return c->prefix ? MF_OK : no_name();
    }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "a zip, but none that torch.save wrote: no data.pkl"),
                   "TorchScript archives are not read: save model.state_dict() with torch.save");
}

/* NULL where there is no memory. */
static char *entry_name(const checkpoint *c, const char *tail)
{
    char *name;
    return asprintf(&name, "%s%s", c->prefix, tail) < 0 ? NULL : name;
}

static mf_status read_pickle_bytes(checkpoint *c, const zip_stat_t *stat)
{
    MF_TRY(pickle_check_size((size_t)stat->size));
    uint8_t *bytes = malloc(stat->size ? stat->size : 1);
    if (!bytes)
        return mf_no_memory(0, "its pickle");
    mf_status status = read_entry(c, stat, bytes);
    if (!status)
        status = pickle_read(bytes, stat->size, &c->pickle, &c->root);
    free(bytes);
    return status;
}

static mf_status read_pickle(checkpoint *c)
{
    zip_stat_t stat;
    char *name = entry_name(c, "data.pkl");
    if (!name)
        return no_name();
    mf_status status = find_entry(c, name, &stat);
    if (!status)
        status = read_pickle_bytes(c, &stat);
    free(name);
    return status;
}

/* PyTorch writes the order of its machine since 1.14; files without it are little-endian. */
static mf_status check_order(const checkpoint *c)
{
    zip_stat_t stat;
    char order[7] = "little", *name = entry_name(c, "byteorder");
    mf_status status = name ? MF_OK : no_name();
    if (!status && zip_name_locate(c->zip, name, 0) >= 0) {
        status = find_entry(c, name, &stat);
        if (!status && stat.size == 6)
            status = read_entry(c, &stat, order);
        if (!status && (stat.size != 6 || strcmp(order, "little")))
            status = mf_fail(MF_UNSUPPORTED, "its numbers are not little-endian");
    }
    free(name);
    return status;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static const mf_number *number_of(const char *storage)
{
    static const struct {
        const char *storage, *number;
    } types[] = {{"FloatStorage", "F32"},     {"DoubleStorage", "F64"}, {"HalfStorage", "F16"},
                 {"BFloat16Storage", "BF16"}, {"LongStorage", "I64"},   {"IntStorage", "I32"},
                 {"ShortStorage", "I16"},     {"CharStorage", "I8"},    {"ByteStorage", "U8"},
                 {"BoolStorage", "BOOL"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].storage, storage))
            return mf_number_named(types[i].number);
    return NULL;
}

/* The elements of `t`, in order, out of the bytes of its storage. */
static void pick(const pickle_tensor *t, const uint8_t *from, size_t width, uint8_t *to,
                 int64_t count)
{
    int64_t index[MF_MAX_RANK] = {0};
    int64_t at = t->offset;
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + (size_t)i * width, from + (size_t)at * width, width);
        for (int d = t->rank; d-- > 0;) {
            at += t->strides[d];
            if (++index[d] < t->shape[d])
                break;
            at -= t->strides[d] * t->shape[d];
            index[d] = 0;
        }
    }
}

/* One after another those of a storage, and there those that are the same part of it. */
static int by_storage(const void *a, const void *b)
{
    const pickle_tensor *x = ((const wanted *)a)->tensor, *y = ((const wanted *)b)->tensor;
    int order = strcmp(x->storage->key, y->storage->key);
    if (!order)
        order = strcmp(x->storage->type, y->storage->type);
    if (!order && x->offset != y->offset)
        order = x->offset < y->offset ? -1 : 1;
    if (!order)
        order = x->rank - y->rank;
    if (!order)
        order = memcmp(x->shape, y->shape, sizeof x->shape);
    return order ? order : memcmp(x->strides, y->strides, sizeof x->strides);
}

/* The tensor out of the bytes of its storage. */
static mf_status cut_out(wanted *w, const uint8_t *bytes, size_t size)
{
    const pickle_tensor *t = w->tensor;
    size_t needed;
    if (!mf_size_mul((size_t)t->storage->count, w->number->size, &needed) || size < needed)
        return mf_hint(mf_fail(MF_CORRUPT, "its storage has %zu bytes, not %lld numbers of %d",
                               size, (long long)t->storage->count, (int)w->number->size),
                       "%s", again);
    MF_TRY(mf_array_new(w->number->dtype, t->rank, t->shape, &w->array));
    pick(t, bytes, w->number->size, w->array->data, mf_array_count(w->array));
    mf_number_widen(w->number, w->array);
    return MF_OK;
}

/* The bytes of a storage. No two storages have a byte of the file in common, so that all of them
 * together are read in no more than its size. */
static mf_status read_storage(checkpoint *c, const char *key, uint8_t **bytes, size_t *size)
{
    char *name;
    zip_stat_t stat;
    if (asprintf(&name, "%sdata/%s", c->prefix, key) < 0)
        return no_name();
    mf_status status = find_entry(c, name, &stat);
    free(name);
    MF_TRY(status);
    *size = (size_t)stat.size;
    if (*size > c->file_size - c->storages)
        return mf_hint(mf_fail(MF_CORRUPT,
                               "its storage %s has %zu bytes, where the file of %zu has %zu left "
                               "after those before it",
                               key, *size, c->file_size, c->file_size - c->storages),
                       "%s", anew);
    c->storages += *size;
    *bytes = malloc(*size ? *size : 1);
    if (!*bytes)
        return mf_no_memory(0, "its storage of %zu bytes", *size);
    status = read_entry(c, &stat, *bytes);
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* The tensors from `first` up to `end`, which have one storage. */
static mf_status read_shared(checkpoint *c, wanted *first, const wanted *end)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mf_status status = mf_within(read_storage(c, first->tensor->storage->key, &bytes, &size),
                                 "tensor %s", first->name);
    for (wanted *w = first; w < end && !status; w++) {
        if (w > first && !by_storage(w - 1, w))
            w->array = mf_array_ref(w[-1].array);
        else
            status = mf_within(cut_out(w, bytes, size), "tensor %s", w->name);
    }
    free(bytes);
    return status;
}

static mf_status read_wanted(checkpoint *c, mf_tensors *t)
{
    if (c->count)
        qsort(c->item, c->count, sizeof *c->item, by_storage);
    for (size_t i = 0, end; i < c->count; i = end) {
        for (end = i + 1; end < c->count; end++)
            if (strcmp(c->item[i].tensor->storage->key, c->item[end].tensor->storage->key))
                break;
        MF_TRY(read_shared(c, c->item + i, c->item + end));
    }
    for (size_t i = 0; i < c->count; i++)
        MF_TRY(mf_tensors_add(t, c->item[i].name, mf_array_ref(c->item[i].array)));
    return MF_OK;
}

/* ---- what is wanted -------------------------------------------------------------------------- */

/* Counted before anything is read. */
static mf_status count_bytes(checkpoint *c, const wanted *w)
{
    const pickle_tensor *p = w->tensor;
    size_t bytes = w->number->size, most;
    bool counted = true;
    for (int i = 0; i < p->rank; i++)
        counted = counted && mf_size_mul(bytes, (size_t)p->shape[i], &bytes);
    if (!counted || __builtin_add_overflow(c->bytes, bytes, &c->bytes) ||
        (mf_size_mul(c->file_size, MOST_TIMES, &most) && c->bytes > most))
        return mf_hint(mf_fail(MF_CORRUPT,
                               "with it the tensors are larger than %d times the file of %zu bytes",
                               MOST_TIMES, c->file_size),
                       "where that is meant, in Python: torch.save({k: v.clone() for k, v in "
                       "model.state_dict().items()}, \"new.pt\")");
    return MF_OK;
}

static mf_status want(checkpoint *c, const char *name, const pickle_tensor *p)
{
    wanted w = {.tensor = p, .number = number_of(p->storage->type)};
    if (!w.number)
        return mf_fail(MF_UNSUPPORTED, "a %s is not read here", p->storage->type);
    MF_TRY(count_bytes(c, &w));
    wanted *grown = mf_list_more(c->item, c->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a list of %zu tensors", c->count + 1);
    c->item = grown;
    if (!(w.name = strdup(name)))
        return no_name();
    c->item[c->count++] = w;
    return MF_OK;
}

/* Without what PyTorch's wrappers put before it, once for each of them. */
static const char *plain_name(const char *name)
{
    static const char *const wrappers[] = {"module.", "_orig_mod."};
    const char *before;
    do {
        before = name;
        for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
            if (!strncmp(name, wrappers[i], strlen(wrappers[i])))
                name += strlen(wrappers[i]);
    } while (name != before);
    return name;
}

/* All tensors of a state dict; what else stands there is passed over. */
static mf_status want_state(checkpoint *c, const pickle_value *dict, const char *prefix)
{
    for (size_t i = 0; dict && dict->kind == PICKLE_DICT && i + 1 < dict->list.count; i += 2) {
        const pickle_value *key = dict->list.item[i], *value = dict->list.item[i + 1];
        char *name;
        if (key->kind != PICKLE_TEXT || value->kind != PICKLE_TENSOR)
            continue;
        MF_TRY(mf_tensors_check_name(plain_name(key->text)));
        if (asprintf(&name, "%s%s", prefix, plain_name(key->text)) < 0)
            return no_name();
        mf_status status = mf_within(want(c, name, value->tensor), "tensor %s", name);
        free(name);
        MF_TRY(status);
    }
    return MF_OK;
}

static const pickle_value *first_of(const pickle_value *dict, const char *const *keys)
{
    const pickle_value *found = NULL;
    for (; !found && *keys; keys++)
        found = pickle_get(dict, *keys);
    return found;
}

/* A running average alone is the weights. */
static mf_status want_model(checkpoint *c)
{
    static const char *const weights[] = {"model", "model_state_dict", "state_dict", NULL};
    static const char *const averages[] = {"ema_model", "ema_state_dict", NULL};
    const pickle_value *model = first_of(c->root, weights), *average = first_of(c->root, averages),
                       *encoder = pickle_get(c->root, "encoder_state_dict");
    if (!model && encoder) /* of a classifier: its names start below the encoder */
        return want_state(c, encoder, "encoder.");
    if (!model && average)
        return want_state(c, average, "");
    MF_TRY(want_state(c, model ? model : c->root, ""));
    return want_state(c, average, "ema.");
}

/* Of a list of tensors, or of a ParameterList's state dict: "0", "1", ... */
static mf_status want_list(checkpoint *c, const pickle_value *list, const char *prefix)
{
    if (!list || list->kind != PICKLE_SEQUENCE)
        return want_state(c, list, prefix);
    for (size_t i = 0; i < list->list.count; i++) {
        char name[32];
        if (list->list.item[i]->kind != PICKLE_TENSOR)
            continue;
        snprintf(name, sizeof name, "%s%zu", prefix, i);
        MF_TRY(mf_within(want(c, name, list->list.item[i]->tensor), "tensor %s", name));
    }
    return MF_OK;
}

/* "class_names": a list of texts, each a note of its own. */
static mf_status take_names(const pickle_value *names, mf_tensors *t)
{
    if (!names || names->kind != PICKLE_SEQUENCE)
        return MF_OK;
    for (size_t i = 0; i < names->list.count; i++) {
        char key[40];
        if (names->list.item[i]->kind != PICKLE_TEXT)
            continue;
        snprintf(key, sizeof key, "class_names.%zu", i);
        MF_TRY(mf_tensors_add_note(t, key, names->list.item[i]->text));
    }
    return MF_OK;
}

/* Averages by their name in a checkpoint, or as learned_priors.pth says. */
static mf_status note_averages(const pickle_value *root, const pickle_value *list, mf_tensors *t)
{
    const pickle_value *said = pickle_get(root, "is_ema");
    bool ema = list == pickle_get(root, "ema_learnable_priors");
    if (list == pickle_get(root, "priors"))
        ema = said && said->kind == PICKLE_BOOL && said->yes;
    return mf_tensors_add_note(t, "is_ema", ema ? "true" : "false");
}

static mf_status want_priors(checkpoint *c, mf_tensors *t)
{
    static const char *const averaged[] = {"ema_learnable_priors", "learnable_priors", "priors",
                                           NULL};
    const pickle_value *list = first_of(c->root, averaged);
    MF_TRY(want_list(c, list, "priors."));
    if (list)
        MF_TRY(note_averages(c->root, list, t));
    return take_names(pickle_get(c->root, "class_names"), t);
}

static mf_status want_all(checkpoint *c, mf_torch_part part, mf_tensors *t)
{
    switch (part) {
    case MF_TORCH_MODEL:
        MF_TRY(want_model(c));
        return c->count ? MF_OK
                        : mf_hint(mf_fail(MF_INVALID,
                                          "no tensors under \"model\", \"model_state_dict\", "
                                          "\"state_dict\", \"ema_model\" or at the top"),
                                  "in Python: torch.save(model.state_dict(), ...)");
    case MF_TORCH_HEAD:
        MF_TRY(want_state(c, pickle_get(c->root, "head_state_dict"), ""));
        return c->count ? MF_OK
                        : mf_hint(mf_fail(MF_INVALID, "no tensors under \"head_state_dict\""),
                                  "checkpoints of the official classification training have them");
    case MF_TORCH_PRIORS:
        MF_TRY(want_priors(c, t));
        return c->count
                   ? MF_OK
                   : mf_hint(mf_fail(MF_INVALID, "no tensors under \"ema_learnable_priors\", "
                                                 "\"learnable_priors\" or \"priors\""),
                             "checkpoints of the official fine-tuning and its learned_priors.pth "
                             "have them");
    }
    return MF_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

static mf_status read_opened(checkpoint *c, mf_torch_part part, mf_tensors *t)
{
    MF_TRY(find_prefix(c));
    MF_TRY(check_order(c));
    MF_TRY(read_pickle(c));
    MF_TRY(want_all(c, part, t));
    return read_wanted(c, t);
}

static mf_status open_zip(FILE *file, zip_t **zip)
{
    int code = 0, fd = dup(fileno(file));
    *zip = fd < 0 ? NULL : zip_fdopen(fd, 0, &code);
    if (*zip)
        return MF_OK;
    if (fd < 0)
        return mf_fail(MF_IO, "its zip cannot be read: %s", strerror(errno));
    close(fd);
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    mf_status status = mf_hint(
        mf_fail(MF_CORRUPT, "its zip cannot be read: %s", zip_error_strerror(&error)), "%s", again);
    zip_error_fini(&error);
    return status;
}

mf_status mf_torch_read(FILE *file, size_t size, mf_torch_part part, mf_tensors *t)
{
    checkpoint c = {.file_size = size};
    MF_TRY(open_zip(file, &c.zip));
    mf_status status = read_opened(&c, part, t);
    for (size_t i = 0; i < c.count; i++) {
        free(c.item[i].name);
        mf_array_unref(c.item[i].array);
    }
    free(c.item);
    pickle_free(c.pickle);
    free(c.prefix);
    zip_discard(c.zip);
    return status;
}
