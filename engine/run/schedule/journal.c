/* journal.c - see journal.h. */
#include "run/schedule/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A stage that talks in a tight loop must not fill the disk, nor keep others from being heard. */
#define MOST_OF_A_NODE 10000
#define MOST_LINES 1000000

/* How much a node has said. */
typedef struct speaker {
    const char *node; /* NULL: a free place */
    size_t lines;
} speaker;

struct mf_journal {
    mf_store *store;
    int64_t run;
    mf_run_node *nodes;
    size_t node_count, node_room;
    mf_run_line *lines;
    size_t line_count, line_room;
    size_t said; /* lines of the whole run */
    speaker *speakers;
    size_t speaker_count, speaker_room; /* a power of two, less than half full */
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
        return mf_no_memory(0, "the record of the run");
    j->store = store;
    status = store ? mf_store_run_begin(store, start, &j->run) : MF_OK;
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
        return mf_no_memory(0, "the record of the run");
    *list = grown;
    *room = *room ? 2 * *room : 256;
    return MF_OK;
}

mf_status mf_journal_node(mf_journal *j, const mf_run_node *entry)
{
    mf_run_node *n;

    if (!j->store)
        return MF_OK;
    MF_TRY(make_room((void **)&j->nodes, j->node_count, &j->node_room, sizeof *j->nodes));
    n = &j->nodes[j->node_count];
    *n = *entry;
    n->message = entry->message ? strdup(entry->message) : NULL;
    n->key = entry->key ? strdup(entry->key) : NULL;
    if ((entry->message && !n->message) || (entry->key && !n->key)) {
        free((char *)n->message);
        free((char *)n->key);
        return mf_no_memory(0, "the record of the run");
    }
    j->node_count++;
    return MF_OK;
}

static speaker *place_of(speaker *speakers, size_t room, const char *node)
{
    size_t i = ((uintptr_t)node >> 4) * 0x9e3779b97f4a7c15u & (room - 1);

    while (speakers[i].node && speakers[i].node != node)
        i = (i + 1) & (room - 1);
    return &speakers[i];
}

/* Names of nodes stay, so that they are told apart by where they are. */
static mf_status find_speaker(mf_journal *j, const char *node, speaker **found)
{
    if (2 * j->speaker_count >= j->speaker_room) {
        size_t room = j->speaker_room ? 2 * j->speaker_room : 64;
        speaker *grown = calloc(room, sizeof *grown);
        if (!grown)
            return mf_no_memory((size_t)room * sizeof *grown, "the record of the run");
        for (size_t i = 0; i < j->speaker_room; i++)
            if (j->speakers[i].node)
                *place_of(grown, room, j->speakers[i].node) = j->speakers[i];
        free(j->speakers);
        j->speakers = grown;
        j->speaker_room = room;
    }
    *found = place_of(j->speakers, j->speaker_room, node);
    j->speaker_count += !(*found)->node;
    (*found)->node = node;
    return MF_OK;
}

mf_status mf_journal_line(mf_journal *j, const char *node, const char *text)
{
    char limit[80] = "", *copy;
    speaker *s = NULL;

    if (!j->store)
        return MF_OK;
    MF_TRY(find_speaker(j, node, &s));
    if (j->said > MOST_LINES || s->lines > MOST_OF_A_NODE)
        return MF_OK;
    if (s->lines++ == MOST_OF_A_NODE)
        snprintf(limit, sizeof limit, "later lines are dropped: %d lines per node are kept",
                 MOST_OF_A_NODE);
    else if (j->said == MOST_LINES)
        snprintf(limit, sizeof limit, "later lines are dropped: %d lines per run are kept",
                 MOST_LINES);
    MF_TRY(make_room((void **)&j->lines, j->line_count, &j->line_room, sizeof *j->lines));
    copy = strdup(*limit ? limit : text);
    if (!copy)
        return mf_no_memory(0, "the record of the run");
    j->said++;
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
    if (!j->store)
        return MF_OK;
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
    if (!j->store)
        return MF_OK;
    return mf_store_run_end(j->store, j->run, status);
}

void mf_journal_free(mf_journal *j)
{
    if (!j)
        return;
    drop_nodes(j);
    drop_lines(j);
    free(j->lines);
    free(j->speakers);
    free(j->nodes);
    free(j);
}
