/* lines.c - see lines.h. */
#include "run/schedule/lines.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds that a thread waits for room. Whoever asks the stage to end is in the same loop that
 * makes room, so this must be short. */
#define PATIENCE 0.5
/* Once a wait was in vain, lines are left out without waiting until half of the room is free. */
#define EASED (MF_LINES_ROOM / 2)
#define WAKE (MF_LINES_ROOM - MF_LINES_ROOM / 4)
#define GAP_TEXT 80 /* bytes */

struct mf_lines {
    pthread_mutex_t lock;
    pthread_cond_t room;
    mf_line *first, **end;
    size_t count; /* lines, and gaps among them */
    size_t waiting;
    bool crowded; /* a wait was in vain */
    mf_line *gap; /* the last one that took a line, while its node has said nothing since */
    uint64_t last;
};

mf_lines *mf_lines_new(void)
{
    mf_lines *l = calloc(1, sizeof *l);
    pthread_condattr_t steady;

    if (!l)
        return NULL;
    l->end = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&l->room, &steady);
    pthread_condattr_destroy(&steady);
    return l;
}

void mf_lines_free(mf_lines *l)
{
    if (!l)
        return;
    for (mf_line *line = l->first, *next; line; line = next) {
        next = line->next;
        free(line);
    }
    pthread_cond_destroy(&l->room);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- putting --------------------------------------------------------------------------------- */

static void append(mf_lines *l, mf_line *line)
{
    line->next = NULL;
    line->number = ++l->last;
    *l->end = line;
    l->end = &line->next;
    l->count++;
    if (l->gap && l->gap->node == line->node)
        l->gap = NULL;
}

/* The node's last line in the queue, if that is a gap: it can take more. */
static mf_line *open_gap(mf_lines *l, const char *node)
{
    mf_line *last = NULL;

    if (l->gap && l->gap->node == node)
        return l->gap;
    for (mf_line *line = l->first; line; line = line->next)
        if (line->node == node)
            last = line;
    return last && last->left_out ? last : NULL;
}

/* Gaps have room of their own: one a node behind its last line. */
static void leave_out(mf_lines *l, const char *node)
{
    mf_line *gap = open_gap(l, node);

    if (!gap) {
        gap = malloc(sizeof *gap + GAP_TEXT);
        if (!gap)
            return;
        gap->node = node;
        gap->left_out = 0;
        append(l, gap);
    }
    gap->left_out++;
    l->gap = gap;
}

/* Called with the lock held. Whether there is room. */
static bool wait_for_room(mf_lines *l, bool wait)
{
    struct timespec until;

    if (l->count < MF_LINES_ROOM || !wait || l->crowded)
        return l->count < MF_LINES_ROOM && !l->crowded;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(PATIENCE * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    l->waiting++;
    while (l->count >= MF_LINES_ROOM && !l->crowded)
        l->crowded = pthread_cond_timedwait(&l->room, &l->lock, &until) != 0;
    l->waiting--;
    return !l->crowded;
}

void mf_lines_put(mf_lines *l, const char *node, const char *text, bool wait)
{
    size_t size = strlen(text) + 1;
    mf_line *line = malloc(sizeof *line + size);

    if (line) {
        line->node = node;
        line->left_out = 0;
        memcpy(line->text, text, size);
    }
    pthread_mutex_lock(&l->lock);
    if (line && wait_for_room(l, wait)) {
        append(l, line);
        line = NULL;
    } else {
        leave_out(l, node);
    }
    pthread_mutex_unlock(&l->lock);
    free(line);
}

/* ---- taking ---------------------------------------------------------------------------------- */

mf_line *mf_lines_take(mf_lines *l)
{
    mf_line *line;

    pthread_mutex_lock(&l->lock);
    line = l->first;
    if (line) {
        l->first = line->next;
        if (!l->first)
            l->end = &l->first;
        l->count--;
        if (l->gap == line)
            l->gap = NULL;
    }
    if (l->count <= EASED)
        l->crowded = false;
    if (l->waiting && l->count <= WAKE)
        pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    if (line && line->left_out)
        snprintf(line->text, GAP_TEXT, "%zu line%s dropped here: too many per second",
                 line->left_out, line->left_out == 1 ? " is" : "s are");
    return line;
}

uint64_t mf_lines_last(mf_lines *l)
{
    uint64_t last;

    pthread_mutex_lock(&l->lock);
    last = l->last;
    pthread_mutex_unlock(&l->lock);
    return last;
}
