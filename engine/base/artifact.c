/* artifact.c - artifacts: typed attributes and named arrays, in memory or read from a source.
 * Knows nothing of where a source reads from. */
#include "base/artifact_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct attribute {
    char *name;
    mf_attribute_kind kind;
    char *text;
    int64_t integer;
    double *reals;
    size_t count;
} attribute;

typedef struct entry {
    char *name;
    mf_array_info info;
    size_t index;      /* order of declaration: what the source knows it by */
    mf_array *array;   /* in memory: the data; of a ragged array: its bytes */
    mf_array *offsets; /* of a ragged array in memory */
    mf_array *table;   /* kept by mf_artifact_table */
} entry;

struct mf_artifact {
    char *type;
    char id[65]; /* "" while not stored */
    int refs;
    attribute *attributes; /* in order of name */
    size_t attribute_count;
    entry *entries; /* in order of name */
    size_t entry_count;
    const mf_artifact_source *source; /* NULL: all in memory */
    void *self;
    pthread_mutex_t lock; /* guards the tables kept in entries */
};

static mf_status no_memory(void)
{
    return mf_fail(MF_NO_MEMORY, "no memory for an artifact");
}

mf_status mf_artifact_new(const char *type, mf_artifact **artifact)
{
    mf_artifact *a = calloc(1, sizeof *a);
    if (!a || !(a->type = strdup(type))) {
        free(a);
        return no_memory();
    }
    pthread_mutex_init(&a->lock, NULL);
    a->refs = 1;
    *artifact = a;
    return MF_OK;
}

mf_status mf_artifact_lazy(const char *type, const char *id, const mf_artifact_source *source,
                           void *self, mf_artifact **artifact)
{
    mf_status failed = mf_artifact_new(type, artifact);
    if (failed) {
        source->free(self);
        return failed;
    }
    (*artifact)->source = source;
    (*artifact)->self = self;
    mf_artifact_set_id(*artifact, id);
    return MF_OK;
}

mf_artifact *mf_artifact_ref(const mf_artifact *artifact)
{
    mf_artifact *a = (mf_artifact *)artifact;
    __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    return a;
}

void mf_artifact_unref(const mf_artifact *artifact)
{
    mf_artifact *a = (mf_artifact *)artifact;
    if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < a->attribute_count; i++) {
        free(a->attributes[i].name);
        free(a->attributes[i].text);
        free(a->attributes[i].reals);
    }
    for (size_t i = 0; i < a->entry_count; i++) {
        free(a->entries[i].name);
        mf_array_unref(a->entries[i].array);
        mf_array_unref(a->entries[i].offsets);
        mf_array_unref(a->entries[i].table);
    }
    if (a->source)
        a->source->free(a->self);
    pthread_mutex_destroy(&a->lock);
    free(a->attributes);
    free(a->entries);
    free(a->type);
    free(a);
}

const char *mf_artifact_type(const mf_artifact *a)
{
    return a->type;
}

const char *mf_artifact_id(const mf_artifact *a)
{
    return a->id[0] ? a->id : NULL;
}

void mf_artifact_set_id(mf_artifact *a, const char *id)
{
    snprintf(a->id, sizeof a->id, "%s", id);
}

/* ---- attributes ---- */

static attribute *find_attribute(const mf_artifact *a, const char *name)
{
    for (size_t i = 0; i < a->attribute_count; i++)
        if (strcmp(a->attributes[i].name, name) == 0)
            return &a->attributes[i];
    return NULL;
}

/* The attribute of that name, emptied, made in its place in the order where it is new. */
static attribute *fresh_attribute(mf_artifact *a, const char *name)
{
    attribute *found = find_attribute(a, name);
    if (found) {
        free(found->text);
        free(found->reals);
        *found = (attribute){.name = found->name};
        return found;
    }
    char *copy = strdup(name);
    attribute *grown = realloc(a->attributes, (a->attribute_count + 1) * sizeof *grown);
    if (grown)
        a->attributes = grown;
    if (!copy || !grown) {
        free(copy);
        return NULL;
    }
    size_t at = 0;
    while (at < a->attribute_count && strcmp(a->attributes[at].name, name) < 0)
        at++;
    memmove(&grown[at + 1], &grown[at], (a->attribute_count - at) * sizeof *grown);
    a->attribute_count++;
    grown[at] = (attribute){.name = copy};
    return &grown[at];
}

mf_status mf_artifact_set_text(mf_artifact *a, const char *name, const char *v)
{
    char *copy = strdup(v);
    attribute *slot = copy ? fresh_attribute(a, name) : NULL;
    if (!slot) {
        free(copy);
        return no_memory();
    }
    slot->kind = MF_ATTRIBUTE_TEXT;
    slot->text = copy;
    return MF_OK;
}

mf_status mf_artifact_set_int(mf_artifact *a, const char *name, int64_t v)
{
    attribute *slot = fresh_attribute(a, name);
    if (!slot)
        return no_memory();
    slot->kind = MF_ATTRIBUTE_INT;
    slot->integer = v;
    return MF_OK;
}

mf_status mf_artifact_set_reals(mf_artifact *a, const char *name, const double *v, size_t count)
{
    double *copy = malloc((count ? count : 1) * sizeof *copy);
    attribute *slot = copy ? fresh_attribute(a, name) : NULL;
    if (!slot) {
        free(copy);
        return no_memory();
    }
    if (count)
        memcpy(copy, v, count * sizeof *copy);
    slot->kind = MF_ATTRIBUTE_REALS;
    slot->reals = copy;
    slot->count = count;
    return MF_OK;
}

const char *mf_artifact_text(const mf_artifact *a, const char *name)
{
    const attribute *found = find_attribute(a, name);
    return found && found->kind == MF_ATTRIBUTE_TEXT ? found->text : NULL;
}

bool mf_artifact_int(const mf_artifact *a, const char *name, int64_t *value)
{
    const attribute *found = find_attribute(a, name);
    if (!found || found->kind != MF_ATTRIBUTE_INT)
        return false;
    *value = found->integer;
    return true;
}

const double *mf_artifact_reals(const mf_artifact *a, const char *name, size_t *count)
{
    const attribute *found = find_attribute(a, name);
    if (!found || found->kind != MF_ATTRIBUTE_REALS)
        return NULL;
    *count = found->count;
    return found->reals;
}

size_t mf_artifact_attribute_count(const mf_artifact *a)
{
    return a->attribute_count;
}

const char *mf_artifact_attribute(const mf_artifact *a, size_t i, mf_attribute_kind *kind)
{
    *kind = a->attributes[i].kind;
    return a->attributes[i].name;
}

/* ---- arrays ---- */

static entry *find_entry(const mf_artifact *a, const char *name)
{
    size_t low = 0, high = a->entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(a->entries[middle].name, name);
        if (order == 0)
            return &a->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static mf_status get_entry(const mf_artifact *a, const char *name, entry **found)
{
    *found = find_entry(a, name);
    if (*found)
        return MF_OK;
    return mf_fail(MF_NOT_FOUND, "artifact of type %s has no array '%s'", a->type, name);
}

static mf_status insert_entry(mf_artifact *a, const mf_array_info *info, entry **inserted)
{
    if (find_entry(a, info->name))
        return mf_fail(MF_INVALID, "artifact of type %s already has an array '%s'", a->type,
                       info->name);
    char *copy = strdup(info->name);
    entry *grown = realloc(a->entries, (a->entry_count + 1) * sizeof *grown);
    if (grown)
        a->entries = grown;
    if (!copy || !grown) {
        free(copy);
        return no_memory();
    }
    size_t at = 0;
    while (at < a->entry_count && strcmp(a->entries[at].name, info->name) < 0)
        at++;
    memmove(&grown[at + 1], &grown[at], (a->entry_count - at) * sizeof *grown);
    grown[at] = (entry){.name = copy, .info = *info, .index = a->entry_count};
    grown[at].info.name = copy;
    a->entry_count++;
    *inserted = &grown[at];
    return MF_OK;
}

mf_status mf_artifact_declare(mf_artifact *a, const mf_array_info *info)
{
    entry *made;
    return insert_entry(a, info, &made);
}

mf_status mf_artifact_add(mf_artifact *a, const char *name, mf_array *array)
{
    mf_array_info info = {.name = name, .dtype = array->dtype, .rank = array->rank};
    memcpy(info.shape, array->shape, sizeof info.shape);
    entry *made;
    MF_TRY(insert_entry(a, &info, &made));
    made->array = mf_array_ref(array);
    return MF_OK;
}

mf_status mf_artifact_add_rows(mf_artifact *a, const char *name, mf_array *bytes, mf_array *offsets)
{
    if (bytes->dtype != MF_U8 || bytes->rank != 1 || offsets->dtype != MF_I64 ||
        offsets->rank != 1 || offsets->shape[0] < 1)
        return mf_fail(MF_INVALID,
                       "ragged array '%s' needs u8 [n] bytes and i64 [rows + 1] offsets", name);
    const int64_t *o = offsets->data;
    int64_t rows = offsets->shape[0] - 1;
    bool good = o[0] == 0 && o[rows] == bytes->shape[0];
    for (int64_t i = 0; i < rows; i++)
        good = good && o[i] <= o[i + 1];
    if (!good)
        return mf_fail(MF_INVALID, "ragged array '%s' has offsets that fall or do not cover it",
                       name);
    mf_array_info info = {.name = name,
                          .dtype = MF_U8,
                          .rank = 1,
                          .shape = {bytes->shape[0]},
                          .ragged = true,
                          .rows = rows};
    entry *made;
    MF_TRY(insert_entry(a, &info, &made));
    made->array = mf_array_ref(bytes);
    made->offsets = mf_array_ref(offsets);
    return MF_OK;
}

size_t mf_artifact_array_count(const mf_artifact *a)
{
    return a->entry_count;
}

void mf_artifact_array_info(const mf_artifact *a, size_t i, mf_array_info *info)
{
    *info = a->entries[i].info;
}

bool mf_artifact_find(const mf_artifact *a, const char *name, mf_array_info *info)
{
    const entry *found = find_entry(a, name);
    if (found)
        *info = found->info;
    return found != NULL;
}

mf_status mf_artifact_array(const mf_artifact *a, const char *name, mf_array **array)
{
    entry *e;
    MF_TRY(get_entry(a, name, &e));
    if (e->array) {
        *array = mf_array_ref(e->array);
        return MF_OK;
    }
    if (!e->info.ragged)
        return a->source->array(a->self, e->index, array);
    mf_array *offsets;
    MF_TRY(a->source->rows(a->self, e->index, array, &offsets));
    mf_array_unref(offsets);
    return MF_OK;
}

mf_status mf_artifact_rows(const mf_artifact *a, const char *name, mf_array **bytes,
                           mf_array **offsets)
{
    entry *e;
    MF_TRY(get_entry(a, name, &e));
    if (!e->info.ragged)
        return mf_fail(MF_INVALID, "array '%s' of an artifact of type %s has no rows", name,
                       a->type);
    if (!e->array)
        return a->source->rows(a->self, e->index, bytes, offsets);
    *bytes = mf_array_ref(e->array);
    *offsets = mf_array_ref(e->offsets);
    return MF_OK;
}

mf_status mf_artifact_read_box(const mf_artifact *a, const char *name, const int64_t lo[3],
                               const int64_t hi[3], void *dst)
{
    entry *e;
    MF_TRY(get_entry(a, name, &e));
    const int64_t *shape = e->info.shape;
    if (e->info.ragged || e->info.rank != 3)
        return mf_fail(MF_INVALID, "array '%s' has no boxes: it is not of rank 3", name);
    for (int i = 0; i < 3; i++)
        if (lo[i] < 0 || lo[i] > hi[i] || hi[i] > shape[i])
            return mf_fail(MF_INVALID,
                           "box %lld..%lld lies outside array '%s' of size %lld along axis %d",
                           (long long)lo[i], (long long)hi[i], name, (long long)shape[i], i);
    if (!e->array)
        return a->source->box(a->self, e->index, lo, hi, dst);
    size_t size = mf_dtype_size(e->info.dtype), line = (size_t)(hi[2] - lo[2]) * size;
    const uint8_t *from = e->array->data;
    uint8_t *to = dst;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++, to += line)
            memcpy(to, from + (size_t)((z * shape[1] + y) * shape[2] + lo[2]) * size, line);
    return MF_OK;
}

mf_status mf_artifact_read_row(const mf_artifact *a, const char *name, int64_t row, uint8_t **bytes,
                               size_t *size)
{
    entry *e;
    MF_TRY(get_entry(a, name, &e));
    if (!e->info.ragged || row < 0 || row >= e->info.rows)
        return mf_fail(MF_INVALID, "array '%s' has no row %lld", name, (long long)row);
    if (!e->array)
        return a->source->row(a->self, e->index, row, bytes, size);
    const int64_t *o = e->offsets->data;
    *size = (size_t)(o[row + 1] - o[row]);
    *bytes = NULL;
    if (*size == 0)
        return MF_OK;
    *bytes = malloc(*size);
    if (!*bytes)
        return no_memory();
    memcpy(*bytes, (const uint8_t *)e->array->data + o[row], *size);
    return MF_OK;
}

mf_status mf_artifact_table(const mf_artifact *a, const char *name, mf_dtype dtype,
                            const void **data, int64_t *count)
{
    entry *e;
    *data = NULL;
    MF_TRY(get_entry(a, name, &e));
    if (e->info.ragged || e->info.dtype != dtype || e->info.rank < 1 || e->info.rank > 2)
        return mf_fail(MF_INVALID, "array '%s' is not a table of %s", name, mf_dtype_text(dtype));
    mf_status failed = MF_OK;
    pthread_mutex_t *lock = &((mf_artifact *)a)->lock;
    pthread_mutex_lock(lock);
    if (!e->table)
        failed = mf_artifact_array(a, name, &e->table);
    if (!failed) {
        *data = e->table->data;
        *count = mf_array_count(e->table);
    }
    pthread_mutex_unlock(lock);
    return failed;
}
