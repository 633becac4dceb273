/* disjoint.c - see disjoint.h. */
#include "disjoint.h"

#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static mf_status ids_of(mf_task *t, const char *port, const char ***ids)
{
    size_t n = mf_in_count(t, port);
    if (!(*ids = calloc(n + 1, sizeof **ids)))
        return mf_no_memory((n + 1) * sizeof **ids, "the cases of `%s`", port);
    mf_status status = MF_OK;
    for (size_t i = 0; i < n && !status; i++) {
        const mf_artifact *item;
        status = mf_in_item(t, port, i, &item);
        if (!status)
            (*ids)[i] = mf_artifact_id(item);
        if (!status && !(*ids)[i])
            status = mf_fail(MF_INTERNAL, "item %zu of `%s` has no id", i, port);
    }
    if (!status)
        qsort(*ids, n, sizeof **ids, by_id);
    return status;
}

static mf_status find_common(mf_task *t, const char *a, const char *b, const char **ids)
{
    for (size_t i = 0; i < mf_in_count(t, b); i++) {
        const mf_artifact *item;
        MF_TRY(mf_in_item(t, b, i, &item));
        const char *id = mf_artifact_id(item);
        if (id && bsearch(&id, ids, mf_in_count(t, a), sizeof *ids, by_id))
            return mf_hint(
                mf_fail(MF_INVALID, "%s of `%s` is also in `%s`", mf_in_name(t, b, i), b, a),
                "select different cases for the two, for example by a column `set`");
    }
    return MF_OK;
}

mf_status mf_disjoint(mf_task *t, const char *a, const char *b)
{
    const char **ids = NULL;
    if (!mf_in_count(t, a) || !mf_in_count(t, b))
        return MF_OK;
    mf_status status = ids_of(t, a, &ids);
    if (!status)
        status = find_common(t, a, b, ids);
    free(ids);
    return status;
}
