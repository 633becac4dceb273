/* artifact.c - artifacts: typed attributes and named arrays, in memory or read from a source.
 * Knows nothing of where a source reads from. */
#include "base/artifact_source.h"

#include <massflow/memory.h>

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Things by name, 100,000 and more of them from a file of weights or a record. Added in order of
 * name, as nearly all come, they are found by bisection; once one comes out of order, in a tree. */
typedef struct named {
    char *name;
} named;

typedef struct list {
    named **item; /* in order of name, unless `mixed` */
    size_t count;
    void *tree; /* of tsearch; NULL while everything came in order */
    bool mixed; /* sorted when somebody asks for the order */
} list;

typedef struct attribute {
    named named;
    mf_attribute_kind kind;
    char *text;
    int64_t integer;
    double *reals;
    size_t count;
} attribute;

typedef struct array_entry { /* <search.h> has an entry */
    named named;
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
    list attributes, entries;
    const mf_artifact_source *source; /* NULL: all in memory */
    void *self;
    pthread_mutex_t lock; /* guards the tables kept in entries, and sorting */
};

static mf_status no_memory(void)
{
    return mf_no_memory(0, "an artifact");
}

/* ---- lists by name ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static int by_name_of(const void *a, const void *b)
{
    return by_name(*(named *const *)a, *(named *const *)b);
}

static void *list_find(const list *l, const char *name)
{
    const named key = {(char *)name}, *wanted = &key;
    named **found;
    if (!l->count)
        return NULL;
    found = l->tree ? tfind(&key, &l->tree, by_name)
                    : bsearch(&wanted, l->item, l->count, sizeof *l->item, by_name_of);
    return found ? *found : NULL;
}

static void leave(void *item)
{
    (void)item;
}

/* A tree of all that the list has; or none, where memory is short. */
static bool plant(list *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!tsearch(l->item[i], &l->tree, by_name)) {
            tdestroy(l->tree, leave);
            l->tree = NULL;
            return false;
        }
    return true;
}

/* A new item of `size` bytes, which begin with its name: one that is not in the list yet. NULL
 * where there is no memory. */
static void *list_add(list *l, const char *name, size_t size)
{
    named **grown = mf_list_more(l->item, l->count, sizeof *grown);
    if (!grown)
        return NULL;
    l->item = grown;
    named *made = calloc(1, size);
    if (!made || !(made->name = strdup(name))) {
        free(made);
        return NULL;
    }
    bool in_order = !l->count || strcmp(l->item[l->count - 1]->name, name) < 0;
    if ((!in_order && !l->tree && !plant(l)) || (l->tree && !tsearch(made, &l->tree, by_name))) {
        free(made->name);
        free(made);
        return NULL;
    }
    l->item[l->count++] = made;
    l->mixed |= !in_order;
    return made;
}

static void *list_at(const mf_artifact *artifact, const list *in, size_t i)
{
    list *l = (list *)in;
    pthread_mutex_t *lock = &((mf_artifact *)artifact)->lock;
    if (__atomic_load_n(&l->mixed, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(lock);
        if (l->mixed)
            qsort(l->item, l->count, sizeof *l->item, by_name_of);
        __atomic_store_n(&l->mixed, false, __ATOMIC_RELEASE);
        pthread_mutex_unlock(lock);
    }
    return l->item[i];
}

static void list_free(list *l, void (*clear)(void *))
{
    tdestroy(l->tree, leave);
    for (size_t i = 0; i < l->count; i++) {
        clear(l->item[i]);
        free(l->item[i]->name);
        free(l->item[i]);
    }
    free(l->item);
}

mf_status mf_artifact_new(const char *type, mf_artifact **artifact)
{
    mf_artifact *a = calloc(1, sizeof *a);
    *artifact = NULL;
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
    mf_status status = mf_artifact_new(type, artifact);
    if (status) {
        source->free(self);
        return status;
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

static void clear_attribute(void *item)
{
    attribute *t = item;
    free(t->text);
    free(t->reals);
}

static void clear_entry(void *item)
{
    entry *e = item;
    mf_array_unref(e->array);
    mf_array_unref(e->offsets);
    mf_array_unref(e->table);
}

void mf_artifact_unref(const mf_artifact *artifact)
{
    mf_artifact *a = (mf_artifact *)artifact;
    int left = a ? __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) : 0;
    assert(left >= 0); /* else somebody gave back what was not theirs */
    if (!a || left > 0)
        return;
    list_free(&a->attributes, clear_attribute);
    list_free(&a->entries, clear_entry);
    if (a->source)
        a->source->free(a->self);
    pthread_mutex_destroy(&a->lock);
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

/* The attribute of that name, emptied; a new one where there is none. */
static attribute *fresh_attribute(mf_artifact *a, const char *name)
{
    attribute *found = list_find(&a->attributes, name);
    if (!found)
        return list_add(&a->attributes, name, sizeof *found);
    clear_attribute(found);
    *found = (attribute){.named = found->named};
    return found;
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
    const attribute *found = list_find(&a->attributes, name);
    return found && found->kind == MF_ATTRIBUTE_TEXT ? found->text : NULL;
}

bool mf_artifact_int(const mf_artifact *a, const char *name, int64_t *value)
{
    const attribute *found = list_find(&a->attributes, name);
    if (!found || found->kind != MF_ATTRIBUTE_INT)
        return false;
    *value = found->integer;
    return true;
}

const double *mf_artifact_reals(const mf_artifact *a, const char *name, size_t *count)
{
    const attribute *found = list_find(&a->attributes, name);
    if (!found || found->kind != MF_ATTRIBUTE_REALS)
        return NULL;
    *count = found->count;
    return found->reals;
}

size_t mf_artifact_attribute_count(const mf_artifact *a)
{
    return a->attributes.count;
}

const char *mf_artifact_attribute(const mf_artifact *a, size_t i, mf_attribute_kind *kind)
{
    const attribute *found = list_at(a, &a->attributes, i);
    *kind = found->kind;
    return found->named.name;
}

/* ---- arrays ---- */

static mf_status get_entry(const mf_artifact *a, const char *name, entry **found)
{
    *found = list_find(&a->entries, name);
    if (*found)
        return MF_OK;
    return mf_fail(MF_NOT_FOUND, "artifact of type %s has no array '%s'", a->type, name);
}

static mf_status insert_entry(mf_artifact *a, const mf_array_info *info, entry **inserted)
{
    if (list_find(&a->entries, info->name))
        return mf_fail(MF_INVALID, "artifact of type %s already has an array '%s'", a->type,
                       info->name);
    entry *made = list_add(&a->entries, info->name, sizeof *made);
    if (!made)
        return no_memory();
    made->info = *info;
    made->info.name = made->named.name;
    made->index = a->entries.count - 1;
    *inserted = made;
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
    return a->entries.count;
}

void mf_artifact_array_info(const mf_artifact *a, size_t i, mf_array_info *info)
{
    *info = ((const entry *)list_at(a, &a->entries, i))->info;
}

bool mf_artifact_find(const mf_artifact *a, const char *name, mf_array_info *info)
{
    const entry *found = list_find(&a->entries, name);
    if (found)
        *info = found->info;
    return found != NULL;
}

mf_status mf_artifact_array(const mf_artifact *a, const char *name, mf_array **array)
{
    entry *e;
    *array = NULL;
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

static mf_status get_ragged(const mf_artifact *a, const char *name, entry **e)
{
    MF_TRY(get_entry(a, name, e));
    return (*e)->info.ragged
               ? MF_OK
               : mf_fail(MF_INVALID, "array '%s' of an artifact of type %s has no rows", name,
                         a->type);
}

mf_status mf_artifact_offsets(const mf_artifact *a, const char *name, mf_array **offsets)
{
    entry *e;
    *offsets = NULL;
    MF_TRY(get_ragged(a, name, &e));
    if (!e->array)
        return a->source->offsets(a->self, e->index, offsets);
    *offsets = mf_array_ref(e->offsets);
    return MF_OK;
}

mf_status mf_artifact_rows(const mf_artifact *a, const char *name, mf_array **bytes,
                           mf_array **offsets)
{
    entry *e;
    *bytes = *offsets = NULL;
    MF_TRY(get_ragged(a, name, &e));
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
    *bytes = NULL;
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
    mf_status status = MF_OK;
    pthread_mutex_t *lock = &((mf_artifact *)a)->lock;
    pthread_mutex_lock(lock);
    if (!e->table)
        status = mf_artifact_array(a, name, &e->table);
    if (!status) {
        *data = e->table->data;
        *count = mf_array_count(e->table);
    }
    pthread_mutex_unlock(lock);
    return status;
}
