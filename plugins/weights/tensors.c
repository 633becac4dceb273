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
