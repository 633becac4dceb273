/* targets.c - classes of cases. */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 256 };

void mf_targets_clear(mf_targets *c)
{
    for (int64_t i = 0; i < c->count; i++)
        free(c->name[i]);
    *c = (mf_targets){0};
}

int64_t mf_targets_find(const mf_targets *c, const char *name)
{
    for (int64_t i = 0; i < c->count; i++)
        if (!strcmp(c->name[i], name))
            return i;
    return -1;
}

static mf_status add(mf_targets *c, const char *name, size_t length)
{
    if (c->count == MF_TARGETS_MOST)
        return mf_fail(MF_INVALID, "'%s' has more than %d %s", c->target, MF_TARGETS_MOST,
                       c->multi_label ? "columns" : "values");
    if (!(c->name[c->count] = strndup(name, length)))
        return mf_no_memory(0, "a class");
    c->count++;
    return MF_OK;
}

/* ---- what a case says ------------------------------------------------------------------------ */

mf_status mf_target_text(mf_task *t, const char *port, size_t i, const char *column, char *text,
                         size_t size, bool *there)
{
    const char *value = mf_in_column(t, port, i, column);
    const mf_artifact *a;
    int64_t number;
    *there = true;
    if (value && *value) {
        snprintf(text, size, "%s", value);
        return MF_OK;
    }
    MF_TRY(mf_in_item(t, port, i, &a));
    const char *attribute = mf_artifact_text(a, column);
    if (attribute)
        snprintf(text, size, "%s", attribute);
    else if (mf_artifact_int(a, column, &number))
        snprintf(text, size, "%lld", (long long)number);
    else
        *there = false;
    return MF_OK;
}

static mf_status gap(mf_task *t, const char *port, size_t i, const char *column)
{
    return mf_fail(MF_INVALID, "case '%s' has no '%s'", mf_in_case(t, port, i), column);
}

mf_status mf_target_of(mf_task *t, const char *port, size_t i, const char *column, char *text,
                       size_t size)
{
    bool there;
    MF_TRY(mf_target_text(t, port, i, column, text, size, &there));
    if (!there)
        return mf_hint(gap(t, port, i, column),
                       "target is a column of the cases, or an attribute of their features");
    return MF_OK;
}

/* ---- classes --------------------------------------------------------------------------------- */

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 16 && !text[n];
}

/* Whole numbers by value, before texts. */
static int in_order(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    bool number = is_number(x), other = is_number(y);
    if (number != other)
        return number ? -1 : 1;
    if (number) {
        long long m = strtoll(x, NULL, 10), n = strtoll(y, NULL, 10);
        if (m != n)
            return m < n ? -1 : 1;
    }
    return strcmp(x, y);
}

mf_status mf_targets_collect(mf_task *t, const char *target, bool gaps, mf_targets *c)
{
    char text[TEXT_MOST];
    size_t labelled = 0;
    c->target = target;
    for (size_t i = 0; i < mf_in_count(t, "train"); i++) {
        bool there = true;
        MF_TRY(gaps ? mf_target_text(t, "train", i, target, text, sizeof text, &there)
                    : mf_target_of(t, "train", i, target, text, sizeof text));
        labelled += there;
        if (there && mf_targets_find(c, text) < 0)
            MF_TRY(add(c, text, strlen(text)));
    }
    if (gaps && labelled == 0 && mf_in_count(t, "train"))
        return mf_hint(mf_fail(MF_INVALID, "none of the %zu training cases has '%s'",
                               mf_in_count(t, "train"), target),
                       "target is a column of the cases, or an attribute of their volumes");
    if (c->count < 2)
        return mf_hint(mf_fail(MF_INVALID, "all %zu training cases have the same '%s'%s%s",
                               labelled, target, c->count ? ": " : "", c->count ? c->name[0] : ""),
                       "a classifier needs at least two classes");
    qsort(c->name, (size_t)c->count, sizeof *c->name, in_order);
    return MF_OK;
}

mf_status mf_targets_columns(const char *target, mf_targets *c)
{
    c->target = target;
    c->multi_label = true;
    for (const char *at = target; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t skipped = strspn(at, " "), length = strcspn(at + skipped, ",");
        while (length && at[skipped + length - 1] == ' ')
            length--;
        if (!length)
            return mf_fail(MF_INVALID, "target: '%s' has an empty name of a column", target);
        MF_TRY(add(c, at + skipped, length));
        for (int64_t k = 0; k < c->count - 1; k++)
            if (!strcmp(c->name[k], c->name[c->count - 1]))
                return mf_fail(MF_INVALID, "target: the column '%s' is named twice", c->name[k]);
    }
    return MF_OK;
}

/* ---- the truth ------------------------------------------------------------------------------- */

void mf_truth_clear(mf_truth *truth)
{
    free(truth->at);
    free(truth->label);
    *truth = (mf_truth){0};
}

/* Whether a text is 0 or 1, as a number. */
static bool read_flag(const char *text, uint8_t *flag)
{
    char *end;
    double value = strtod(text, &end);
    *flag = value != 0;
    return end != text && !*end && (value == 0 || value == 1);
}

/* Fills label [classes]; *missing: the column of a gap, or NULL. */
static mf_status read_case(mf_task *t, const char *port, size_t i, const mf_targets *c,
                           uint8_t *label, const char **missing)
{
    char text[TEXT_MOST];
    bool there;
    *missing = NULL;
    for (int64_t k = 0; k < c->count; k++)
        label[k] = 0;
    for (int64_t k = 0; k < (c->multi_label ? c->count : 1); k++) {
        const char *column = c->multi_label ? c->name[k] : c->target;
        MF_TRY(mf_target_text(t, port, i, column, text, sizeof text, &there));
        if (!there) {
            *missing = column;
            return MF_OK;
        }
        if (c->multi_label) {
            if (!read_flag(text, &label[k]))
                return mf_fail(MF_INVALID, "its '%s' is '%s', not 0 or 1", column, text);
            continue;
        }
        const int64_t class = mf_targets_find(c, text);
        if (class < 0)
            return mf_fail(MF_INVALID, "its %s is '%s', which no training case has", column, text);
        label[class] = 1;
    }
    return MF_OK;
}

/* A class that all training cases have, or none, can't be learned. Of single labels both are
 * impossible. */
static mf_status check_columns(const mf_targets *c, const mf_truth *truth)
{
    for (int64_t k = 0; k < c->count && c->multi_label; k++) {
        int64_t positive = 0;
        for (int64_t i = 0; i < truth->n; i++)
            positive += truth->label[i * c->count + k];
        if (positive == 0 || positive == truth->n)
            return mf_hint(mf_fail(MF_INVALID, "all %lld training cases have %d in '%s'",
                                   (long long)truth->n, positive != 0, c->name[k]),
                           "leave the column out of target, or train on cases of both kinds");
    }
    return MF_OK;
}

mf_status mf_truth_read(mf_task *t, const char *port, const mf_targets *c, bool gaps,
                        mf_truth *truth)
{
    const size_t all = mf_in_count(t, port);
    const bool train = !strcmp(port, "train");
    truth->at = calloc(all + 1, sizeof *truth->at);
    truth->label = calloc((all + 1) * (size_t)c->count, sizeof *truth->label);
    if (!truth->at || !truth->label)
        return mf_no_memory(0, "%zu cases", all);
    for (size_t i = 0; i < all; i++) {
        const char *missing;
        MF_TRY(mf_within(read_case(t, port, i, c, truth->label + truth->n * c->count, &missing),
                         "%s case '%s'", port, mf_in_case(t, port, i)));
        if (missing && !gaps)
            return mf_hint(mf_within(gap(t, port, i, missing), "%s", port),
                           "target names columns of the cases, or attributes of their volumes; "
                           "with 'gaps: leave-out' cases without a value are left out");
        if (missing)
            mf_log(t, "%s case '%s' is left out: it has no '%s'", port, mf_in_case(t, port, i),
                   missing);
        else
            truth->at[truth->n++] = i;
    }
    if (all == 0)
        return mf_fail(MF_INVALID, "there are no %s cases", port);
    if (truth->n == 0)
        return mf_fail(MF_INVALID, "none of the %zu %s cases has '%s'", all, port, c->target);
    return train ? check_columns(c, truth) : MF_OK;
}
