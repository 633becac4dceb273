/* spool.c - see spool.h. */
#include "run/remote/spool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WAITING ((size_t)64 << 20) /* bytes */

typedef struct waiting {
    struct waiting *next;
    uint8_t digest[MF_DIGEST_BYTES];
    mf_chunk chunk;
} waiting;

struct mf_spool {
    mf_chunk_cache *chunks;
    char *dir; /* absolute */
    void (*tell)(void *self, const char *line);
    void *self;
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t some;
    waiting *first, **last;
    size_t bytes;
    bool closing, broken;
};

static void free_waiting(waiting *w)
{
    mf_chunk_clear(&w->chunk);
    free(w);
}

static void give_up(mf_spool *s, const mf_error *why)
{
    char line[512];

    pthread_mutex_lock(&s->lock);
    s->broken = true;
    pthread_mutex_unlock(&s->lock);
    if (!s->tell)
        return;
    snprintf(line, sizeof line, "the spool is left alone, chunks go by the connections: %s",
             mf_error_message(why));
    s->tell(s->self, line);
}

/* NULL: it is over. */
static waiting *take(mf_spool *s)
{
    waiting *w;

    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->closing)
        pthread_cond_wait(&s->some, &s->lock);
    w = s->closing ? NULL : s->first;
    if (w) {
        s->first = w->next;
        if (!s->first)
            s->last = &s->first;
        s->bytes -= w->chunk.size;
    }
    pthread_mutex_unlock(&s->lock);
    return w;
}

static void *write_all(void *self)
{
    mf_spool *s = self;
    waiting *w;

    while ((w = take(s))) {
        mf_status status = mf_chunk_cache_put(s->chunks, w->digest, &w->chunk, false);
        if (status)
            give_up(s, status);
        mf_error_free(status);
        free_waiting(w);
    }
    return NULL;
}

mf_status mf_spool_open(const char *dir, int64_t most, void (*tell)(void *self, const char *line),
                        void *self, mf_spool **spool)
{
    mf_spool *s = calloc(1, sizeof *s);
    mf_status status;

    *spool = NULL;
    if (!s)
        return mf_no_memory(0, "a spool");
    s->tell = tell;
    s->self = self;
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->some, NULL);
    status = mf_chunk_cache_open_safe(dir, most, &s->chunks);
    if (!status) {
        s->dir = realpath(mf_chunk_cache_dir(s->chunks), NULL);
        s->threaded = s->dir && pthread_create(&s->thread, NULL, write_all, s) == 0;
        if (!s->threaded)
            status = mf_no_memory(0, "a spool");
    }
    if (status) {
        mf_spool_close(s);
        return mf_hint(status, "the key 'spool' of the file of pools names another folder");
    }
    *spool = s;
    return MF_OK;
}

void mf_spool_close(mf_spool *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->some);
    pthread_mutex_unlock(&s->lock);
    if (s->threaded)
        pthread_join(s->thread, NULL);
    for (waiting *w = s->first, *next; w; w = next) {
        next = w->next;
        free_waiting(w);
    }
    mf_chunk_cache_close(s->chunks);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->some);
    free(s->dir);
    free(s);
}

const char *mf_spool_dir(const mf_spool *s)
{
    return s->dir;
}

/* Whether it is to be written; the lock is not held. */
static bool has_room(mf_spool *s, size_t size)
{
    pthread_mutex_lock(&s->lock);
    bool room = !s->broken && s->bytes + size <= MOST_WAITING;
    pthread_mutex_unlock(&s->lock);
    return room;
}

void mf_spool_put(mf_spool *s, const uint8_t digest[MF_DIGEST_BYTES], const mf_chunk *chunk)
{
    waiting *w;

    if (mf_chunk_cache_has(s->chunks, digest) || !has_room(s, chunk->size))
        return;
    w = calloc(1, sizeof *w);
    if (!w)
        return;
    memcpy(w->digest, digest, sizeof w->digest);
    w->chunk = *chunk;
    w->chunk.bytes = malloc(chunk->size ? chunk->size : 1);
    if (!w->chunk.bytes) {
        free(w);
        return;
    }
    memcpy(w->chunk.bytes, chunk->bytes, chunk->size);
    pthread_mutex_lock(&s->lock);
    *s->last = w;
    s->last = &w->next;
    s->bytes += chunk->size;
    pthread_cond_signal(&s->some);
    pthread_mutex_unlock(&s->lock);
}
