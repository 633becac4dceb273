/* torch.c - see torch.h. */
#include "torch.h"
#include "number.h"
#include "pickle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

typedef struct checkpoint {
    zip_t *zip;
    size_t file_size;
    char *prefix; /* of all entries: "archive/" */
    pickle *pickle;
    const pickle_value *root;
} checkpoint;

/* ---- the zip --------------------------------------------------------------------------------- */

/* Where the bytes of an entry stand: PyTorch never compresses, so none is larger than the file. */
static mf_status find_entry(const checkpoint *c, const char *name, zip_stat_t *stat)
{
    if (zip_stat(c->zip, name, 0, stat))
        return mf_fail(MF_CORRUPT, "its zip has no entry %s", name);
    if (!(stat->valid & ZIP_STAT_SIZE) || !(stat->valid & ZIP_STAT_COMP_METHOD) ||
        stat->comp_method != ZIP_CM_STORE || stat->size > c->file_size)
        return mf_fail(MF_CORRUPT, "the entry %s of its zip is not as PyTorch writes it", name);
    return MF_OK;
}

static mf_status read_entry(const checkpoint *c, const zip_stat_t *stat, void *to, size_t size)
{
    zip_file_t *file = zip_fopen_index(c->zip, stat->index, 0);
    if (!file)
        return mf_fail(MF_CORRUPT, "the entry %s of its zip: %s", stat->name, zip_strerror(c->zip));
    zip_int64_t got = 0;
    size_t done = 0;
    while (done < size && (got = zip_fread(file, (uint8_t *)to + done, size - done)) > 0)
        done += (size_t)got;
    mf_status failed = MF_OK;
    if (done < size)
        failed = mf_fail(MF_CORRUPT, "the entry %s of its zip ends after %zu of %zu bytes: %s",
                         stat->name, done, size, zip_file_strerror(file));
    zip_fclose(file);
    return failed;
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
        return c->prefix ? MF_OK : mf_fail(MF_NO_MEMORY, "no memory for a name");
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

static mf_status read_pickle(checkpoint *c)
{
    zip_stat_t stat;
    char *name = entry_name(c, "data.pkl");
    if (!name)
        return mf_fail(MF_NO_MEMORY, "no memory for a name");
    mf_status failed = find_entry(c, name, &stat);
    uint8_t *bytes = failed ? NULL : malloc(stat.size ? stat.size : 1);
    if (!failed && !bytes)
        failed = mf_fail(MF_NO_MEMORY, "no memory for its pickle");
    if (!failed)
        failed = read_entry(c, &stat, bytes, stat.size);
    if (!failed)
        failed = pickle_read(bytes, stat.size, &c->pickle, &c->root);
    free(bytes);
    free(name);
    return failed;
}

/* PyTorch writes the order of its machine since 1.14; files without it are little-endian. */
static mf_status check_order(const checkpoint *c)
{
    zip_stat_t stat;
    char order[7] = "little", *name = entry_name(c, "byteorder");
    mf_status failed = name ? MF_OK : mf_fail(MF_NO_MEMORY, "no memory for a name");
    if (!failed && !zip_stat(c->zip, name, 0, &stat) && stat.valid & ZIP_STAT_SIZE) {
        if (stat.size == 6)
            failed = read_entry(c, &stat, order, 6);
        if (!failed && (stat.size != 6 || strcmp(order, "little")))
            failed = mf_fail(MF_UNSUPPORTED, "its numbers are not little-endian");
    }
    free(name);
    return failed;
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

/* Reads the storage's bytes and puts the tensor's elements into `a`. */
static mf_status read_storage(const checkpoint *c, const pickle_tensor *t, const mf_number *n,
                              mf_array *a)
{
    char *tail = NULL, *name = NULL;
    zip_stat_t stat;
    mf_status failed = MF_OK;
    uint8_t *bytes = NULL;
    size_t size;
    if (asprintf(&tail, "data/%s", t->storage->key) < 0 || !(name = entry_name(c, tail)))
        failed = mf_fail(MF_NO_MEMORY, "no memory for a name");
    free(tail);
    if (!failed)
        failed = find_entry(c, name, &stat);
    if (!failed && (!mf_size_mul((size_t)t->storage->count, n->size, &size) || stat.size < size))
        failed = mf_fail(MF_CORRUPT, "its storage has %llu bytes, not %lld numbers of %d",
                         (unsigned long long)stat.size, (long long)t->storage->count, (int)n->size);
    if (!failed && !(bytes = malloc(size ? size : 1)))
        failed = mf_fail(MF_NO_MEMORY, "no memory for its storage");
    if (!failed)
        failed = read_entry(c, &stat, bytes, size);
    if (!failed) {
        pick(t, bytes, n->size, a->data, mf_array_count(a));
        mf_number_widen(n, a);
    }
    free(bytes);
    free(name);
    return failed;
}

static mf_status add_tensor(const checkpoint *c, const pickle_tensor *p, const char *name,
                            mf_tensors *t)
{
    const mf_number *n = number_of(p->storage->type);
    mf_array *a;
    size_t elements = 1, bytes;
    if (!n)
        return mf_fail(MF_UNSUPPORTED, "a %s is not read here", p->storage->type);
    /* Strides of 0 could make a large tensor of few bytes. */
    for (int i = 0; i < p->rank; i++)
        if (!mf_size_mul(elements, (size_t)p->shape[i], &elements))
            return mf_fail(MF_CORRUPT, "its shape is not one");
    if (!mf_size_mul(elements, n->size, &bytes) || bytes > c->file_size)
        return mf_fail(MF_CORRUPT, "it is larger than the file");
    MF_TRY(mf_tensors_make(t, name, n->dtype, p->rank, p->shape, &a));
    return read_storage(c, p, n, a);
}

static const char *plain_name(const char *name)
{
    static const char *const wrappers[] = {"module.", "_orig_mod."};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (!strncmp(name, wrappers[i], strlen(wrappers[i])))
            return plain_name(name + strlen(wrappers[i]));
    return name;
}

/* All tensors of a state dict; what else stands there is passed over. */
static mf_status add_state(const checkpoint *c, const pickle_value *dict, const char *prefix,
                           mf_tensors *t)
{
    for (size_t i = 0; dict && dict->kind == PICKLE_DICT && i + 1 < dict->list.count; i += 2) {
        const pickle_value *key = dict->list.item[i], *value = dict->list.item[i + 1];
        char *name;
        if (key->kind != PICKLE_TEXT || value->kind != PICKLE_TENSOR)
            continue;
        if (asprintf(&name, "%s%s", prefix, plain_name(key->text)) < 0)
            return mf_fail(MF_NO_MEMORY, "no memory for a name");
        mf_status failed = mf_within(add_tensor(c, value->tensor, name, t), "tensor %s", name);
        free(name);
        MF_TRY(failed);
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

static mf_status add_all(const checkpoint *c, mf_tensors *t)
{
    static const char *const weights[] = {"model", "model_state_dict", "state_dict", NULL};
    static const char *const averages[] = {"ema_model", "ema_state_dict", NULL};
    const pickle_value *model = first_of(c->root, weights);
    MF_TRY(add_state(c, model ? model : c->root, "", t));
    MF_TRY(add_state(c, first_of(c->root, averages), "ema.", t));
    if (t->count)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "no tensors under \"model\", \"model_state_dict\", "
                                       "\"state_dict\", \"ema_model\" or at the top"),
                   "in Python: torch.save(model.state_dict(), ...)");
}

/* ---- the file -------------------------------------------------------------------------------- */

static mf_status read_opened(checkpoint *c, mf_tensors *t)
{
    MF_TRY(find_prefix(c));
    MF_TRY(check_order(c));
    MF_TRY(read_pickle(c));
    return add_all(c, t);
}

mf_status mf_torch_read(const char *path, size_t size, mf_tensors *t)
{
    int code = 0;
    checkpoint c = {.file_size = size, .zip = zip_open(path, ZIP_RDONLY, &code)};
    if (!c.zip) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        mf_status failed =
            mf_fail(MF_CORRUPT, "its zip cannot be read: %s", zip_error_strerror(&error));
        zip_error_fini(&error);
        return failed;
    }
    mf_status failed = read_opened(&c, t);
    pickle_free(c.pickle);
    free(c.prefix);
    zip_discard(c.zip);
    return failed;
}
