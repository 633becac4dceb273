/* table_groups.c - see table_groups.h. */
#include "table_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "groups of a table's rows");
}

bool table_choice_has(const table_choice *choice, size_t column)
{
    for (size_t i = 0; i < choice->count; i++)
        if (choice->list[i] == column)
            return true;
    return false;
}

/* `key` with `value` and a tab behind it; `key` is freed where that fails. */
static mf_status append(char **key, const char *value)
{
    const size_t have = strlen(*key), more = strlen(value);
    char *grown = realloc(*key, have + more + 2);
    if (!grown) {
        free(*key);
        *key = NULL;
        return no_memory();
    }
    memcpy(grown + have, value, more);
    memcpy(grown + have + more, "\t", 2);
    *key = grown;
    return MF_OK;
}

/* The values of `by` in a row, joined; the caller frees. */
static mf_status key_of(const table_groups *g, const table_columns *c, int64_t row, char **key)
{
    *key = calloc(1, 1);
    if (!*key)
        return no_memory();
    for (size_t i = 0; i < g->by.count; i++) {
        char *text = NULL;
        mf_status status = table_columns_text(c, g->by.list[i], row, &text);
        if (status)
            free(*key);
        else
            status = append(key, text);
        free(text);
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status new_group(table_groups *g, const char *key, int64_t row)
{
    if (g->count == g->room) {
        const int64_t room = g->room ? 2 * g->room : 16;
        table_group *grown = realloc(g->list, (size_t)room * sizeof *grown);
        if (!grown)
            return no_memory();
        g->list = grown;
        g->room = room;
    }
    table_group *next = &g->list[g->count];
    *next = (table_group){.first = row};
    next->mean = calloc(g->of.count + 1, sizeof *next->mean);
    next->m2 = calloc(g->of.count + 1, sizeof *next->m2);
    next->n = calloc(g->of.count + 1, sizeof *next->n);
    g->count++; /* what it has is freed, also where the rest is not there */
    if (!next->mean || !next->m2 || !next->n)
        return no_memory();
    next->key = strdup(key);
    return next->key ? MF_OK : no_memory();
}

static mf_status find_group(table_groups *g, const table_columns *c, int64_t row,
                            table_group **found)
{
    char *key;
    int64_t k = 0;
    MF_TRY(key_of(g, c, row, &key));
    while (k < g->count && strcmp(g->list[k].key, key))
        k++;
    mf_status status = k == g->count ? new_group(g, key, row) : MF_OK;
    free(key);
    MF_TRY(status);
    *found = &g->list[k];
    return MF_OK;
}

mf_status table_groups_add(table_groups *g, const table_columns *c, int64_t row)
{
    table_group *group;
    MF_TRY(find_group(g, c, row, &group));
    group->rows++;
    for (size_t i = 0; i < g->of.count; i++) {
        const double v = table_columns_number(c, g->of.list[i], row);
        if (isnan(v))
            continue;
        const double away = v - group->mean[i];
        group->n[i]++;
        group->mean[i] += away / (double)group->n[i];
        group->m2[i] += away * (v - group->mean[i]);
    }
    return MF_OK;
}

void table_groups_clear(table_groups *g)
{
    for (int64_t k = 0; k < g->count; k++) {
        free(g->list[k].key);
        free(g->list[k].mean);
        free(g->list[k].m2);
        free(g->list[k].n);
    }
    free(g->list);
    *g = (table_groups){0};
}
