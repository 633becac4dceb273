/* artifact_names.c - see massflow/names.h. The attribute is text, so that old artifacts stay what
 * they are and every program can read it. */
#include <massflow/names.h>

#include "base/names_text.h"
#include "base/nearest.h"
#include "base/utf8.h"

#include <massflow/memory.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ATTRIBUTE "names"
#define LONGEST 200     /* bytes of a name */
#define MOST 65536      /* names of one label map */
#define SHOWN 12        /* names in a hint */
#define COLOUR_LENGTH 7 /* "#rrggbb" */
#define DIGITS "0123456789"

void mf_names_clear(mf_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->v[i].name);
    free(names->v);
    *names = (mf_names){0};
}

/* ---- one name -------------------------------------------------------------------------------- */

mf_status mf__names_check(int64_t value, const char *name)
{
    size_t length = strlen(name);
    const char *c = name;
    uint32_t code;

    if (value < 0 || value > INT32_MAX)
        return mf_fail(MF_INVALID, "label %lld ('%.60s') is not from 1 to 2147483647",
                       (long long)value, name);
    if (!length || length > LONGEST || isspace((unsigned char)name[0]) ||
        isspace((unsigned char)name[length - 1]))
        return mf_fail(MF_INVALID, "the name of label %lld is to have 1 to %d bytes",
                       (long long)value, LONGEST);
    for (size_t step; *c; c += step) {
        step = mf_utf8_next(c, strlen(c), &code);
        if (!step || mf_utf8_is_control(code) || code == '\n' || code == '\t')
            return mf_fail(MF_INVALID, "the name of label %lld is not one line of UTF-8",
                           (long long)value);
    }
    return MF_OK;
}

/* Where a value is, or would be. */
static size_t place_of(const mf_names *names, int64_t value)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (names->v[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const mf_name *mf_names_find(const mf_names *names, int64_t value)
{
    size_t at = place_of(names, value);

    return at < names->count && names->v[at].value == value ? &names->v[at] : NULL;
}

mf_status mf_names_put(mf_names *names, int64_t value, const char *name, int32_t colour)
{
    MF_TRY(mf__names_check(value, name));
    if (!value)
        return MF_OK;
    size_t at = place_of(names, value);
    bool there = at < names->count && names->v[at].value == value;
    if (!there && names->count == MOST)
        return mf_fail(MF_INVALID, "more than %d names of labels", MOST);
    char *copy = strdup(name);
    mf_name *more = there ? names->v : mf_list_more(names->v, names->count, sizeof *more);
    if (!copy || !more) {
        free(copy);
        if (more)
            names->v = more;
        return mf_no_memory(0, "names of labels");
    }
    names->v = more;
    if (there) {
        free(more[at].name);
    } else {
        memmove(more + at + 1, more + at, (names->count - at) * sizeof *more);
        names->count++;
    }
    more[at] = (mf_name){value, copy, colour};
    return MF_OK;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool is_colour(const char *at)
{
    return *at == '#' && strspn(at + 1, DIGITS "abcdefABCDEF") == COLOUR_LENGTH - 1 &&
           !at[COLOUR_LENGTH];
}

bool mf__names_is_set(const char *entry)
{
    size_t key = strspn(entry, DIGITS "+");

    return memchr(entry, '+', key) && entry[key + strspn(entry + key, " ")] == '=';
}

char *mf__names_name(char *equals)
{
    char *name = equals + 1 + strspn(equals + 1, " \t");

    for (char *end = name + strlen(name); end > name && isspace((unsigned char)end[-1]); end--)
        end[-1] = '\0';
    return name;
}

/* "VALUE=NAME #rrggbb"; the text is cut up. Sets of values are passed over. */
static mf_status parse_one(void *self, char *text)
{
    mf_names *names = self;
    int32_t colour = MF_NO_COLOUR;
    char *end, *equals = strchr(text, '=');
    size_t digits = strspn(text, DIGITS);

    if (mf__names_is_set(text))
        return MF_OK;
    if (!equals || !digits || digits > 10 || text[digits + strspn(text + digits, " ")] != '=')
        return mf_hint(mf_fail(MF_INVALID, "'%.60s' names no label", text),
                       "write VALUE=NAME, as in 1=liver, 2=left kidney");
    int64_t value = strtoll(text, NULL, 10);
    char *name = equals + 1 + strspn(equals + 1, " \t");
    size_t length = strlen(name);
    if (length > COLOUR_LENGTH && is_colour(name + length - COLOUR_LENGTH) &&
        name[length - COLOUR_LENGTH - 1] == ' ') {
        colour = (int32_t)strtol(name + length - COLOUR_LENGTH + 1, NULL, 16);
        name[length - COLOUR_LENGTH] = '\0';
    }
    for (end = name + strlen(name); end > name && isspace((unsigned char)end[-1]); end--)
        end[-1] = '\0';
    return mf_names_put(names, value, name, colour);
}

/* Where the first entry of `text` ends: at the end of a line, or at a comma or semicolon that
 * stands before "VALUE=". */
static char *end_of(char *text, bool lines)
{
    for (char *c = text; *c; c++) {
        if (*c == '\n')
            return c;
        if (lines || (*c != ',' && *c != ';'))
            continue;
        const char *next = c + 1 + strspn(c + 1, " ");
        size_t digits = strspn(next, DIGITS "+");
        if (digits && next[digits + strspn(next + digits, " ")] == '=')
            return c;
    }
    return NULL;
}

mf_status mf__names_each(const char *text, mf_status (*take)(void *self, char *entry), void *self)
{
    char *copy = strdup(text), *at = copy;
    bool lines = strchr(text, '\n') != NULL;
    mf_status status = copy ? MF_OK : mf_no_memory(0, "names of labels");

    while (at && !status) {
        char *end = end_of(at, lines), *next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        at += strspn(at, " \t\r");
        if (*at)
            status = take(self, at);
        at = next;
    }
    free(copy);
    return status;
}

mf_status mf_names_parse(const char *text, mf_names *names)
{
    return mf__names_each(text, parse_one, names);
}

/* ---- artifacts ------------------------------------------------------------------------------- */

mf_status mf_artifact_names(const mf_artifact *a, mf_names *names)
{
    const char *text = mf_artifact_text(a, ATTRIBUTE);

    *names = (mf_names){0};
    if (!text)
        return MF_OK;
    mf_status status = mf_names_parse(text, names);
    if (status)
        mf_names_clear(names);
    return mf_within(status, "the names of an artifact of type %s", mf_artifact_type(a));
}

void mf__names_print(FILE *out, const mf_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        fprintf(out, "%lld=%s", (long long)names->v[i].value, names->v[i].name);
        if (names->v[i].colour != MF_NO_COLOUR)
            fprintf(out, " #%06x", (unsigned)names->v[i].colour);
        fputc('\n', out);
    }
}

mf_status mf_artifact_set_names(mf_artifact *a, const mf_names *names)
{
    return mf_artifact_set_named(a, names, &(mf_label_sets){0});
}

mf_status mf_artifact_copy_names(mf_artifact *to, const mf_artifact *from)
{
    const char *text = mf_artifact_text(from, ATTRIBUTE);

    return text ? mf_artifact_set_text(to, ATTRIBUTE, text) : MF_OK;
}

mf_status mf_names_only(const mf_names *names, const int64_t *values, size_t count, mf_names *kept)
{
    mf_status status = MF_OK;

    *kept = (mf_names){0};
    for (size_t i = 0; i < count && !status; i++) {
        const mf_name *one = mf_names_find(names, values[i]);
        if (one)
            status = mf_names_put(kept, one->value, one->name, one->colour);
    }
    if (status)
        mf_names_clear(kept);
    return status;
}

/* ---- several --------------------------------------------------------------------------------- */

/* By name; `after` the entry before it, or NULL for the first. */
static const mf_name *by_name(const mf_names *names, const char *name, const mf_name *after,
                              int (*compare)(const char *, const char *))
{
    for (size_t i = after ? (size_t)(after - names->v) + 1 : 0; i < names->count; i++)
        if (!compare(names->v[i].name, name))
            return &names->v[i];
    return NULL;
}

mf_status mf_names_join(mf_names *names, const mf_names *more, const char *whose, const char *other)
{
    static const char hint[] = "give both the same names with the parameter `names` of labels.load";

    for (size_t i = 0; i < more->count; i++) {
        const mf_name *new = &more->v[i], *old = mf_names_find(names, new->value),
                      *same = by_name(names, new->name, NULL, strcasecmp);
        if (old && strcasecmp(old->name, new->name) != 0)
            return mf_hint(mf_fail(MF_INVALID, "label %lld is '%s' in %s and '%s' in %s",
                                   (long long)new->value, old->name, whose, new->name, other),
                           hint);
        if (same && !old)
            return mf_hint(mf_fail(MF_INVALID, "'%s' is label %lld in %s and label %lld in %s",
                                   new->name, (long long)same->value, whose, (long long)new->value,
                                   other),
                           hint);
        if (!old)
            MF_TRY(mf_names_put(names, new->value, new->name, new->colour));
    }
    return MF_OK;
}

/* Ends with the names that there are. */
static mf_status unknown(const mf_names *names, const char *param, const char *name)
{
    const char **all = calloc(names->count + 1, sizeof *all);
    char list[1024] = "";
    size_t used = 0;

    if (!all)
        return mf_no_memory(0, "names of labels");
    for (size_t i = 0; i < names->count; i++) {
        all[i] = names->v[i].name;
        if (i < SHOWN && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld %.60s", i ? ", " : "",
                                     (long long)names->v[i].value, all[i]);
    }
    const char *near = mf_nearest(name, all, names->count);
    mf_status status = near ? mf_fail(MF_INVALID, "%s: no label is called '%s'; did you mean '%s'?",
                                      param, name, near)
                            : mf_fail(MF_INVALID, "%s: no label is called '%s'", param, name);
    free(all);
    return mf_hint(status, "the labels are %s%s", list, names->count > SHOWN ? ", ..." : "");
}

static mf_status value_of(const mf_label *label, const mf_names *names, const char *param,
                          int64_t *value)
{
    *value = label->value;
    if (!label->name)
        return MF_OK;
    if (!names->count)
        return mf_hint(mf_fail(MF_INVALID, "%s: '%s' is a name, but these labels have no names",
                               param, label->name),
                       "name them with the parameter `names` of labels.load, or give the value");
    const mf_name *found = by_name(names, label->name, NULL, strcmp);
    if (!found)
        return unknown(names, param, label->name);
    const mf_name *again = by_name(names, label->name, found, strcmp);
    if (again)
        return mf_hint(mf_fail(MF_INVALID, "%s: labels %lld and %lld are both called '%s'", param,
                               (long long)found->value, (long long)again->value, label->name),
                       "give the value");
    *value = found->value;
    return MF_OK;
}

mf_status mf_labels_values(const mf_labels *labels, const mf_names *names, const char *param,
                           int64_t **values, size_t *count)
{
    *count = 0;
    *values = calloc(labels->count + 1, sizeof **values);
    mf_status status = *values ? MF_OK : mf_no_memory(0, "labels");
    for (size_t i = 0; i < labels->count && !status; i++)
        status = value_of(&labels->v[i], names, param, &(*values)[i]);
    if (status) {
        free(*values);
        *values = NULL;
        return status;
    }
    *count = labels->count;
    return MF_OK;
}
