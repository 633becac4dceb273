/* tensors.c - see tensors.h. */
#include "tensors.h"

#include <stdlib.h>
#include <string.h>

void mf_tensors_clear(mf_tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->item[i].name);
        mf_array_unref(t->item[i].array);
    }
    free(t->item);
    for (size_t i = 0; i < 2 * t->notes; i++)
        free(t->note[i]);
    free(t->note);
    *t = (mf_tensors){0};
}

mf_status mf_tensors_add(mf_tensors *t, const char *name, mf_array *array)
{
    char *copy = strdup(name);
    if (t->count == t->room && copy) {
        size_t room = t->room ? 2 * t->room : 16;
        mf_tensor *more = realloc(t->item, room * sizeof *more);
        if (more) {
            t->item = more;
            t->room = room;
        }
    }
    if (!copy || t->count == t->room) {
        free(copy);
        mf_array_unref(array);
        return mf_fail(MF_NO_MEMORY, "no memory for tensor %s", name);
    }
    t->item[t->count++] = (mf_tensor){copy, array};
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

mf_status mf_tensors_sort(mf_tensors *t)
{
    if (t->count > 1)
        qsort(t->item, t->count, sizeof *t->item, by_name);
    for (size_t i = 1; i < t->count; i++)
        if (!strcmp(t->item[i - 1].name, t->item[i].name))
            return mf_fail(MF_CORRUPT, "two tensors are called %s", t->item[i].name);
    return MF_OK;
}

mf_status mf_tensors_add_note(mf_tensors *t, const char *key, const char *text)
{
    char **more = realloc(t->note, 2 * (t->notes + 1) * sizeof *more);
    if (!more)
        return mf_fail(MF_NO_MEMORY, "no memory for what a file says of its tensors");
    t->note = more;
    more[2 * t->notes] = strdup(key);
    more[2 * t->notes + 1] = strdup(text);
    t->notes++;
    if (!more[2 * t->notes - 2] || !more[2 * t->notes - 1])
        return mf_fail(MF_NO_MEMORY, "no memory for what a file says of its tensors");
    return MF_OK;
}

const char *mf_tensors_note(const mf_tensors *t, const char *key)
{
    for (size_t i = 0; i < t->notes; i++)
        if (!strcmp(t->note[2 * i], key))
            return t->note[2 * i + 1];
    return NULL;
}

mf_array *mf_tensors_find(const mf_tensors *t, const char *name)
{
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
