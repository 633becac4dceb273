/* tensors.c - see tensors.h. */
#include "tensors.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

/* PyTorch's are of some 100 bytes. Every error of a tensor says its name. */
enum { MOST_NAME = 1024, MOST_NOTES = 10000 };

mf_status mf_tensors_check_name(const char *name)
{
    size_t length = strlen(name);
    if (!length)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "a tensor without a name"),
                       "save it with a name for each tensor");
    if (length > MOST_NAME)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "tensor %.60s...: its name has %zu bytes; at most %d are read", name,
                               length, MOST_NAME),
                       "save it under shorter names");
    return MF_OK;
}

void mf_tensors_clear(mf_tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->item[i].name);
        mf_array_unref(t->item[i].array);
    }
    free(t->item);
    for (size_t i = 0; i < t->notes; i++) {
        free(t->note[i].key);
        free(t->note[i].text);
    }
    free(t->note);
    *t = (mf_tensors){0};
}

mf_status mf_tensors_add(mf_tensors *t, const char *name, mf_array *array)
{
    char *copy = strdup(name);
    mf_tensor *more = copy ? mf_list_more(t->item, t->count, sizeof *more) : NULL;
    if (!more) {
        free(copy);
        mf_array_unref(array);
        return mf_no_memory(0, "tensor %s", name);
    }
    t->item = more;
    t->item[t->count++] = (mf_tensor){copy, array};
    t->sorted = false;
    return MF_OK;
}

mf_status mf_tensors_make(mf_tensors *t, const char *name, mf_dtype dtype, int rank,
                          const int64_t *shape, mf_array **array)
{
    MF_TRY(mf_within(mf_array_new(dtype, rank, shape, array), "tensor %s", name));
    return mf_tensors_add(t, name, *array);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const mf_tensor *)a)->name, ((const mf_tensor *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const mf_note *)a)->key, ((const mf_note *)b)->key);
}

mf_status mf_tensors_sort(mf_tensors *t)
{
    if (t->count > 1)
        qsort(t->item, t->count, sizeof *t->item, by_name);
    for (size_t i = 1; i < t->count; i++)
        if (!strcmp(t->item[i - 1].name, t->item[i].name))
            return mf_hint(mf_fail(MF_CORRUPT, "two tensors are called %s", t->item[i].name),
                           "save it with one tensor of each name");
    t->sorted = true;
    if (t->notes > 1)
        qsort(t->note, t->notes, sizeof *t->note, by_key);
    for (size_t i = 1; i < t->notes; i++)
        if (!strcmp(t->note[i - 1].key, t->note[i].key))
            return mf_hint(mf_fail(MF_CORRUPT, "__metadata__ has %.100s twice", t->note[i].key),
                           "save it with one text for each key");
    return MF_OK;
}

mf_status mf_tensors_add_note(mf_tensors *t, const char *key, const char *text)
{
    if (t->notes == MOST_NOTES)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "more than %d entries", MOST_NOTES),
                       "save it with fewer");
    mf_note *more = mf_list_more(t->note, t->notes, sizeof *more);
    if (!more)
        return mf_no_memory(0, "what a file says of its tensors");
    t->note = more;
    mf_note *made = &t->note[t->notes++];
    *made = (mf_note){strdup(key), strdup(text)};
    if (!made->key || !made->text)
        return mf_no_memory(0, "what a file says of its tensors");
    return MF_OK;
}

const char *mf_tensors_note(const mf_tensors *t, const char *key)
{
    for (size_t i = 0; i < t->notes; i++)
        if (!strcmp(t->note[i].key, key))
            return t->note[i].text;
    return NULL;
}

mf_array *mf_tensors_find(const mf_tensors *t, const char *name)
{
    const mf_tensor key = {(char *)name, NULL};
    if (t->sorted) {
        const mf_tensor *found =
            t->count ? bsearch(&key, t->item, t->count, sizeof key, by_name) : NULL;
        return found ? found->array : NULL;
    }
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->item[i].name, name))
            return t->item[i].array;
    return NULL;
}

bool mf_tensors_shape(const void *self, const char *name, int *rank, int64_t *shape)
{
    const mf_array *a = mf_tensors_find(self, name);
    if (!a)
        return false;
    *rank = a->rank;
    memcpy(shape, a->shape, sizeof(int64_t) * (size_t)a->rank);
    return true;
}
