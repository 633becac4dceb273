/* nnunet_labels.c - see nnunet_labels.h. */
#include "nnunet_labels.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_VALUES 1024   /* of one region */
#define MOST_REGIONS 10000 /* of a data set; each is compared with all others */

void mf_regions_clear(mf_regions *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->v[i].name);
        free(r->v[i].values);
    }
    free(r->v);
    *r = (mf_regions){0};
}

/* All of `text` as a value of a label. */
static bool is_value(const char *text, int64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 10 || text[digits])
        return false;
    *value = strtoll(text, NULL, 10);
    return *value <= INT32_MAX;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static mf_status add(mf_regions *r, const char *name, int64_t *values, size_t count)
{
    mf_region *more = mf_list_more(r->v, r->count, sizeof *more);
    char *copy = strdup(name);
    if (more)
        r->v = more;
    if (!more || !copy) {
        free(copy);
        return mf_no_memory(0, "names of labels");
    }
    qsort(values, count, sizeof *values, by_value);
    r->v[r->count++] = (mf_region){copy, values, count};
    return MF_OK;
}

mf_status mf_regions_add(mf_regions *r, const char *key, const char *const *values, size_t count)
{
    int64_t value;
    const char *name = key;
    if (!count || count > MOST_VALUES)
        return mf_fail(MF_INVALID, "the label '%.60s' has %zu values", key, count);
    if (r->count == MOST_REGIONS)
        return mf_fail(MF_UNSUPPORTED, "more than %d labels", MOST_REGIONS);
    int64_t *own = calloc(count, sizeof *own);
    mf_status status = own ? MF_OK : mf_no_memory(0, "names of labels");
    if (!status && count == 1 && !is_value(values[0], &value) && is_value(key, &value)) {
        name = values[0]; /* v1: the other way round */
        own[0] = value;
    } else {
        for (size_t i = 0; i < count && !status; i++)
            if (!is_value(values[i], &own[i]))
                status =
                    mf_fail(MF_INVALID, "the label '%.60s' has the value '%.60s'", key, values[i]);
    }
    if (!status)
        status = add(r, name, own, count);
    if (status)
        free(own);
    return status;
}

/* ---- from regions to values ------------------------------------------------------------------ */

static bool holds(const mf_region *r, int64_t value)
{
    return bsearch(&value, r->values, r->count, sizeof *r->values, by_value) != NULL;
}

static bool inside(const mf_region *inner, const mf_region *outer)
{
    for (size_t i = 0; i < inner->count; i++)
        if (!holds(outer, inner->values[i]))
            return false;
    return true;
}

/* Inside the other, and smaller. */
static bool within(const mf_region *inner, const mf_region *outer)
{
    return inner->count < outer->count && inside(inner, outer);
}

static mf_status append(char text[256], const char *between, const char *name)
{
    size_t used = strlen(text);
    int more = snprintf(text + used, 256 - used, "%s%s", used ? between : "", name);
    return more > 0 && used + (size_t)more < 256
               ? MF_OK
               : mf_fail(MF_INVALID, "the name of a region that begins '%.60s' is too long", text);
}

/* The regions that `value` lies in and that have no smaller one inside in which it lies, too. */
static mf_status smallest(const mf_regions *r, int64_t value, char text[256])
{
    for (size_t i = 0; i < r->count; i++) {
        bool least = holds(&r->v[i], value);
        for (size_t k = 0; k < r->count && least; k++)
            least = !(holds(&r->v[k], value) && within(&r->v[k], &r->v[i]));
        if (least)
            MF_TRY(append(text, " and ", r->v[i].name));
    }
    return MF_OK;
}

/* The largest regions inside one in which `value` lies, and in which it does not lie. */
static mf_status without(const mf_regions *r, int64_t value, char text[256])
{
    const char *between = " without ";
    for (size_t i = 0; i < r->count; i++) {
        bool inner = false, largest = !holds(&r->v[i], value);
        for (size_t k = 0; k < r->count && largest; k++) {
            bool larger = within(&r->v[i], &r->v[k]);
            inner |= larger && holds(&r->v[k], value);
            largest = !(larger && !holds(&r->v[k], value));
        }
        if (!inner || !largest)
            continue;
        MF_TRY(append(text, between, r->v[i].name));
        between = " and ";
    }
    return MF_OK;
}

static mf_status name_value(const mf_regions *r, int64_t value, mf_names *names)
{
    char text[256] = "";
    const mf_region *own = NULL;
    for (size_t i = 0; i < r->count; i++) {
        if (r->v[i].count > 1 || r->v[i].values[0] != value)
            continue;
        if (own)
            return mf_fail(MF_INVALID, "the labels '%.60s' and '%.60s' both have the value %lld",
                           own->name, r->v[i].name, (long long)value);
        own = &r->v[i];
    }
    if (own)
        return mf_names_put(names, value, own->name, MF_NO_COLOUR);
    MF_TRY(smallest(r, value, text));
    MF_TRY(without(r, value, text));
    return mf_names_put(names, value, text, MF_NO_COLOUR);
}

mf_status mf_regions_names(const mf_regions *r, mf_names *names)
{
    for (size_t i = 0; i < r->count; i++)
        for (size_t k = 0; k < r->v[i].count; k++)
            if (r->v[i].values[k])
                MF_TRY(name_value(r, r->v[i].values[k], names));
    return MF_OK;
}

mf_status mf_regions_sets(const mf_regions *r, mf_label_sets *sets)
{
    bool several = false;
    for (size_t i = 0; i < r->count; i++)
        several |= r->v[i].count > 1;
    for (size_t i = 0; i < r->count && several; i++) {
        const mf_region *one = &r->v[i];
        const size_t first = one->values[0] == 0; /* ascending */
        if (first < one->count)
            MF_TRY(mf_label_sets_put(sets, one->name, one->values + first, one->count - first));
    }
    return MF_OK;
}
