/* journal.c - see journal.h. */
#include "run/journal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A stage that talks in a tight loop must not fill the disk. */
#define MOST_LINES 100000

struct mf_journal {
    mf_store *store;
    int64_t run;
    mf_run_node *nodes;
    size_t node_count, node_room;
    mf_run_line *lines;
    size_t line_count, line_room;
    size_t said; /* lines of the whole run */
};

double mf_journal_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

mf_status mf_journal_open(mf_store *store, const mf_run_start *start, mf_journal **journal)
{
    mf_journal *j = calloc(1, sizeof *j);
    mf_status status;

    *journal = NULL;
    if (!j)
        return mf_fail(MF_NO_MEMORY, "no memory for the record of the run");
    j->store = store;
    status = mf_store_run_begin(store, start, &j->run);
    if (status) {
        mf_journal_free(j);
        return status;
    }
    *journal = j;
    return MF_OK;
}

int64_t mf_journal_run(const mf_journal *j)
{
    return j->run;
}

/* Room for one more of `size` bytes. */
static mf_status make_room(void **list, size_t count, size_t *room, size_t size)
{
    void *grown;

    if (count < *room)
        return MF_OK;
    grown = realloc(*list, (*room ? 2 * *room : 256) * size);
    if (!grown)
        return mf_fail(MF_NO_MEMORY, "no memory for the record of the run");
    *list = grown;
    *room = *room ? 2 * *room : 256;
    return MF_OK;
}

mf_status mf_journal_node(mf_journal *j, const mf_run_node *entry)
{
    mf_run_node *n;

    MF_TRY(make_room((void **)&j->nodes, j->node_count, &j->node_room, sizeof *j->nodes));
    n = &j->nodes[j->node_count];
    *n = *entry;
    n->message = entry->message ? strdup(entry->message) : NULL;
    n->key = entry->key ? strdup(entry->key) : NULL;
    if ((entry->message && !n->message) || (entry->key && !n->key)) {
        free((char *)n->message);
        free((char *)n->key);
        return mf_fail(MF_NO_MEMORY, "no memory for the record of the run");
    }
    j->node_count++;
    return MF_OK;
}

mf_status mf_journal_line(mf_journal *j, const char *node, const char *text)
{
    char *copy;

    if (j->said > MOST_LINES)
        return MF_OK;
    MF_TRY(make_room((void **)&j->lines, j->line_count, &j->line_room, sizeof *j->lines));
    copy = strdup(j->said++ < MOST_LINES ? text : "this run said more, which is not kept");
    if (!copy)
        return mf_fail(MF_NO_MEMORY, "no memory for the record of the run");
    j->lines[j->line_count++] = (mf_run_line){node, mf_journal_now(), copy};
    return MF_OK;
}

static void drop_nodes(mf_journal *j)
{
    for (size_t i = 0; i < j->node_count; i++) {
        free((char *)j->nodes[i].message);
        free((char *)j->nodes[i].key);
    }
    j->node_count = 0;
}

static void drop_lines(mf_journal *j)
{
    for (size_t i = 0; i < j->line_count; i++)
        free((char *)j->lines[i].text);
    j->line_count = 0;
}

static mf_status flush(mf_journal *j)
{
    MF_TRY(mf_store_run_nodes(j->store, j->run, j->nodes, j->node_count));
    drop_nodes(j);
    MF_TRY(mf_store_run_lines(j->store, j->run, j->lines, j->line_count));
    drop_lines(j);
    return MF_OK;
}

mf_status mf_journal_flush(mf_journal *j)
{
    return mf_within(flush(j), "writing the record of the run");
}

mf_status mf_journal_end(mf_journal *j, const char *status)
{
    MF_TRY(mf_journal_flush(j));
    return mf_store_run_end(j->store, j->run, status);
}

void mf_journal_free(mf_journal *j)
{
    if (!j)
        return;
    drop_nodes(j);
    drop_lines(j);
    free(j->lines);
    free(j->nodes);
    free(j);
}
