/* artifact_label_sets.c - named sets of label values; see massflow/names.h. They stand in the
 * attribute of the names, so that whoever copies that keeps them. */
#include <massflow/names.h>

#include "base/names_text.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

#define ATTRIBUTE "names"
#define MOST_VALUES 1024 /* of one set */
#define MOST_SETS 1024   /* of one label map; each is compared with all others */

void mf_label_sets_clear(mf_label_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        free(sets->v[i].name);
        free(sets->v[i].values);
    }
    free(sets->v);
    *sets = (mf_label_sets){0};
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Ascending, each once; at least one. */
static void sort(int64_t *values, size_t *count)
{
    size_t kept = 1;

    qsort(values, *count, sizeof *values, by_value);
    for (size_t i = 1; i < *count; i++)
        if (values[i] != values[kept - 1])
            values[kept++] = values[i];
    *count = kept;
}

const mf_label_set *mf_label_sets_find(const mf_label_sets *sets, const char *name)
{
    for (size_t i = 0; i < sets->count; i++)
        if (!strcmp(sets->v[i].name, name))
            return &sets->v[i];
    return NULL;
}

/* Takes over `values`, also after an error. */
static mf_status add(mf_label_sets *sets, const char *name, int64_t *values, size_t count)
{
    const mf_label_set *there = mf_label_sets_find(sets, name);
    mf_label_set *more = NULL;
    char *copy = NULL;

    if (there) {
        bool same = there->count == count && !memcmp(there->values, values, count * sizeof *values);
        free(values);
        return same ? MF_OK : mf_fail(MF_INVALID, "two sets of labels are called '%s'", name);
    }
    if (sets->count < MOST_SETS) {
        copy = strdup(name);
        more = mf_list_more(sets->v, sets->count, sizeof *more);
    }
    sets->v = more ? more : sets->v;
    if (!more || !copy) {
        free(values);
        free(copy);
        return sets->count == MOST_SETS
                   ? mf_fail(MF_UNSUPPORTED, "more than %d sets of labels", MOST_SETS)
                   : mf_no_memory(0, "names of labels");
    }
    sets->v[sets->count++] = (mf_label_set){copy, values, count};
    return MF_OK;
}

mf_status mf_label_sets_put(mf_label_sets *sets, const char *name, const int64_t *values,
                            size_t count)
{
    if (!count || count > MOST_VALUES)
        return mf_fail(MF_INVALID, "the set of labels '%.60s' has %zu values; 1 to %d are allowed",
                       name, count, MOST_VALUES);
    for (size_t i = 0; i < count; i++) {
        MF_TRY(mf__names_check(values[i], name));
        if (!values[i])
            return mf_fail(MF_INVALID, "the set of labels '%s' has 0, which is background", name);
    }
    int64_t *own = calloc(count, sizeof *own);
    if (!own)
        return mf_no_memory(0, "names of labels");
    memcpy(own, values, count * sizeof *own);
    sort(own, &count);
    return add(sets, name, own, count);
}

/* "+1+2+3=NAME"; the text is cut up. Names of values are passed over. */
static mf_status parse_one(void *self, char *text)
{
    int64_t *values;
    size_t count = 0;

    if (!mf__names_is_set(text))
        return MF_OK;
    char *equals = strchr(text, '=');
    values = calloc(strlen(text), sizeof *values);
    if (!values)
        return mf_no_memory(0, "names of labels");
    mf_status status = MF_OK;
    for (char *at = text + (*text == '+'); at < equals && !status; at++) {
        size_t digits = strspn(at, "0123456789");
        if (!digits || digits > 10)
            status = mf_hint(mf_fail(MF_INVALID, "'%.60s' names no set of labels", text),
                             "write VALUE+VALUE=NAME, as in 1+2+3=whole tumor");
        else
            values[count++] = strtoll(at, NULL, 10);
        at += digits;
        at += strspn(at, " ");
    }
    if (!status)
        status = mf_label_sets_put(self, mf__names_name(equals), values, count);
    free(values);
    return status;
}

mf_status mf_label_sets_parse(const char *text, mf_label_sets *sets)
{
    return mf__names_each(text, parse_one, sets);
}

/* ---- artifacts ------------------------------------------------------------------------------- */

mf_status mf_artifact_label_sets(const mf_artifact *a, mf_label_sets *sets)
{
    const char *text = mf_artifact_text(a, ATTRIBUTE);

    *sets = (mf_label_sets){0};
    if (!text)
        return MF_OK;
    mf_status status = mf_label_sets_parse(text, sets);
    if (status)
        mf_label_sets_clear(sets);
    return mf_within(status, "the names of an artifact of type %s", mf_artifact_type(a));
}

mf_status mf_artifact_set_named(mf_artifact *a, const mf_names *names, const mf_label_sets *sets)
{
    char *text = NULL;
    size_t size;

    if (!names->count && !sets->count)
        return MF_OK;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return mf_no_memory(0, "names of labels");
    mf__names_print(out, names);
    for (size_t i = 0; i < sets->count; i++) {
        for (size_t k = 0; k < sets->v[i].count; k++)
            fprintf(out, "+%lld", (long long)sets->v[i].values[k]);
        fprintf(out, "=%s\n", sets->v[i].name);
    }
    bool bad = fclose(out) != 0;
    mf_status status =
        bad ? mf_no_memory(0, "names of labels") : mf_artifact_set_text(a, ATTRIBUTE, text);
    free(text);
    return status;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool holds(const int64_t *values, size_t count, int64_t value)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] == value)
            return true;
    return false;
}

mf_status mf_label_sets_only(const mf_label_sets *sets, const int64_t *values, size_t count,
                             mf_label_sets *kept)
{
    mf_status status = MF_OK;

    *kept = (mf_label_sets){0};
    for (size_t i = 0; i < sets->count && !status; i++) {
        const mf_label_set *one = &sets->v[i];
        bool whole = true;
        for (size_t k = 0; k < one->count && whole; k++)
            whole = holds(values, count, one->values[k]);
        if (whole)
            status = mf_label_sets_put(kept, one->name, one->values, one->count);
    }
    if (status)
        mf_label_sets_clear(kept);
    return status;
}

static mf_status append(const int64_t *more, size_t more_count, int64_t **values, size_t *count)
{
    for (size_t i = 0; i < more_count; i++) {
        if (holds(*values, *count, more[i]))
            continue;
        int64_t *grown = mf_list_more(*values, *count, sizeof *grown);
        if (!grown)
            return mf_no_memory(0, "labels");
        *values = grown;
        grown[(*count)++] = more[i];
    }
    return MF_OK;
}

/* The values of one: those of the set of that name, or its own. */
static mf_status expand(const mf_label *label, const mf_names *names, const mf_label_sets *sets,
                        const char *param, int64_t **values, size_t *count)
{
    const mf_label_set *set = label->name ? mf_label_sets_find(sets, label->name) : NULL;
    int64_t *own;
    size_t one;

    if (set) {
        for (size_t i = 0; i < names->count; i++)
            if (!strcmp(names->v[i].name, set->name) &&
                (set->count != 1 || set->values[0] != names->v[i].value))
                return mf_hint(mf_fail(MF_INVALID,
                                       "%s: '%s' is the name of label %lld and of a set of labels",
                                       param, set->name, (long long)names->v[i].value),
                               "give the values");
        return append(set->values, set->count, values, count);
    }
    MF_TRY(mf_labels_values(&(mf_labels){label, 1}, names, param, &own, &one));
    mf_status status = append(own, one, values, count);
    free(own);
    return status;
}

mf_status mf_labels_values_of(const mf_labels *labels, const mf_names *names,
                              const mf_label_sets *sets, const char *param, int64_t **values,
                              size_t *count)
{
    *count = 0;
    *values = calloc(1, sizeof **values);
    mf_status status = *values ? MF_OK : mf_no_memory(0, "labels");
    for (size_t i = 0; i < labels->count && !status; i++)
        status = expand(&labels->v[i], names, sets, param, values, count);
    if (status) {
        free(*values);
        *values = NULL;
        *count = 0;
    }
    return status;
}
