/* gather.c - see gather.h.
 *
 * An element is called by its case and the values of the axes that are gathered, joined by '_'.
 * Where that is no name of its own, 8 digits follow that depend on the case and the axes alone, so
 * that an element has one name in all the folders of a command that hold the same elements:
 * - two elements differ only in upper and lower case, or come out as one text (a=x_y b=z and
 *   a=x b=y_z);
 * - it is longer than LONGEST bytes, or holds a character that a file's name cannot.
 * The same case and axes twice (of two stages) are told apart by -2, -3 in order. */
#include "gather.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 200 /* bytes; 255 are what file systems take, with a suffix */
#define DIGITS 8
#define MOST_AXES 64

typedef struct element {
    char *identity; /* case and axes, which no two different ones share */
    char *name;
    size_t at;   /* place in the list */
    bool marked; /* its name needs digits */
} element;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the names of files");
}

/* ---- one element ------------------------------------------------------------------------------
 */

/* FNV-1a over 64 bits (draft-eastlake-fnv), folded. */
static uint32_t digest(const char *text)
{
    uint64_t h = 14695981039346656037u;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (uint32_t)(h ^ h >> 32);
}

/* Characters that a name cannot hold become '_'; true where there were some. */
static bool clean(char *name)
{
    bool changed = false;

    for (char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c < 32 || *c == 127 ||
            (c == name && (*c == '.' || *c == '-'))) {
            *c = '_';
            changed = true;
        }
    return changed;
}

static mf_status describe(mf_task *t, const char *port, size_t i, element *e)
{
    const char *id = mf_in_case(t, port, i), *axis, *value;
    size_t size;
    FILE *name = open_memstream(&e->name, &size);
    FILE *identity = open_memstream(&e->identity, &size);

    e->at = i;
    if (name && identity) {
        fputs(id, name);
        fprintf(identity, "%s", id);
        for (size_t k = 0; (axis = mf_in_axis(t, port, i, k, &value)); k++) {
            fprintf(name, "%s%s", *id || k ? "_" : "", value);
            fprintf(identity, "\n%s=%s", axis, value);
        }
        fflush(name);
        if (!*e->name) {
            fprintf(name, "%03zu", i);
            fprintf(identity, "\n%zu", i);
        }
    }
    bool good = name && fclose(name) == 0;
    good &= identity && fclose(identity) == 0;
    if (!good)
        return no_memory();
    e->marked = clean(e->name) || strlen(e->name) > LONGEST;
    return MF_OK;
}

/* The name with something behind it, cut between characters so that it stays short enough. */
static mf_status lengthen(element *e, const char *more)
{
    size_t keep = strlen(e->name), room = LONGEST - strlen(more);
    char *name;

    for (keep = keep < room ? keep : room; keep && (e->name[keep] & 0xc0) == 0x80;)
        keep--;
    if (asprintf(&name, "%.*s%s", (int)keep, e->name, more) < 0)
        return no_memory();
    free(e->name);
    e->name = name;
    return MF_OK;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
    const element *x = *(element *const *)a, *y = *(element *const *)b;
    int order = strcasecmp(x->name, y->name);

    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static bool one_file(const element *a, const element *b)
{
    return !strcasecmp(a->name, b->name);
}

/* Different elements with one name get digits. */
static void find_clashes(element **sorted, size_t count)
{
    for (size_t i = 0, end; i < count; i = end) {
        bool differ = false;
        for (end = i + 1; end < count && one_file(sorted[i], sorted[end]); end++)
            differ |= strcmp(sorted[i]->identity, sorted[end]->identity) != 0;
        for (size_t k = i; k < end; k++)
            sorted[k]->marked |= differ;
    }
}

/* Numbers what still has one name, in order. *again where a number was given. */
static mf_status number_twins(element **sorted, size_t count, bool *again)
{
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && one_file(sorted[i], sorted[end]); end++)
            ;
        for (size_t k = i + 1; k < end; k++) {
            char number[32];
            snprintf(number, sizeof number, "-%zu", k - i + 1);
            MF_TRY(lengthen(sorted[k], number));
            *again = true;
        }
    }
    return MF_OK;
}

static mf_status tell_apart(element **sorted, size_t count)
{
    bool again = true;

    qsort(sorted, count, sizeof *sorted, by_name);
    find_clashes(sorted, count);
    for (size_t i = 0; i < count; i++) {
        char digits[DIGITS + 2];
        snprintf(digits, sizeof digits, "-%0*x", DIGITS, digest(sorted[i]->identity));
        if (sorted[i]->marked)
            MF_TRY(lengthen(sorted[i], digits));
    }
    /* A number can make a name that another element has; each round settles more. */
    for (size_t round = 0; again && round <= count; round++) {
        again = false;
        qsort(sorted, count, sizeof *sorted, by_name);
        MF_TRY(number_twins(sorted, count, &again));
    }
    return again ? mf_fail(MF_INTERNAL, "no names were found for %zu files", count) : MF_OK;
}

mf_status gather_names(mf_task *t, const char *port, char ***names)
{
    size_t count = mf_in_count(t, port);
    element *all = calloc(count + 1, sizeof *all), **sorted = calloc(count + 1, sizeof *sorted);
    mf_status status = MF_OK;

    *names = calloc(count + 1, sizeof **names);
    if (!all || !sorted || !*names)
        status = no_memory();
    for (size_t i = 0; i < count && !status; i++) {
        status = describe(t, port, i, &all[i]);
        sorted[i] = &all[i];
    }
    if (!status)
        status = tell_apart(sorted, count);
    for (size_t i = 0; i < count && all; i++) {
        free(all[i].identity);
        if (!status)
            (*names)[i] = all[i].name;
        else
            free(all[i].name);
    }
    free(all);
    free(sorted);
    if (status) {
        free(*names);
        *names = NULL;
    }
    return status;
}

void gather_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

/* ---- the index --------------------------------------------------------------------------------
 */

static void put_cell(FILE *file, const char *text)
{
    bool quote = strpbrk(text, ",\"\r\n");

    if (quote)
        fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    if (quote)
        fputc('"', file);
}

/* The axes that elements have, in the order in which they are met. */
static size_t find_axes(mf_task *t, const char *port, const char *axes[MOST_AXES])
{
    const char *value, *axis;
    size_t count = 0, known;

    for (size_t i = 0; i < mf_in_count(t, port); i++)
        for (size_t k = 0; (axis = mf_in_axis(t, port, i, k, &value)); k++) {
            for (known = 0; known < count && strcmp(axes[known], axis); known++)
                ;
            if (known == count && count < MOST_AXES)
                axes[count++] = axis;
        }
    return count;
}

static const char *value_of(mf_task *t, const char *port, size_t i, const char *axis)
{
    const char *name, *value;

    for (size_t k = 0; (name = mf_in_axis(t, port, i, k, &value)); k++)
        if (!strcmp(name, axis))
            return value;
    return "";
}

mf_status gather_index(mf_task *t, const char *port, char *const *names, const char *path)
{
    const char *axes[MOST_AXES];
    size_t count = find_axes(t, port, axes);
    FILE *file = fopen(path, "we");
    bool good;

    if (!file)
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    fputs("name,case", file);
    for (size_t k = 0; k < count; k++)
        fprintf(file, ",%s", axes[k]);
    fputc('\n', file);
    for (size_t i = 0; i < mf_in_count(t, port); i++) {
        put_cell(file, names[i]);
        fputc(',', file);
        put_cell(file, mf_in_case(t, port, i));
        for (size_t k = 0; k < count; k++) {
            fputc(',', file);
            put_cell(file, value_of(t, port, i, axes[k]));
        }
        fputc('\n', file);
    }
    good = !ferror(file);
    good &= fclose(file) == 0;
    return good ? MF_OK : mf_fail(MF_IO, "%s: %s", path, strerror(errno));
}
