/* parallel.c - see parallel.h. */
#include "parallel.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { THREADS_MOST = 64 };

typedef struct work {
    int64_t count;
    mf_status (*piece)(void *user, int worker, int64_t i);
    void *user;
    atomic_int_fast64_t next;
} work;

typedef struct worker {
    work *w;
    int index;
    pthread_t thread;
    bool started;
    mf_status status;
} worker;

static void *run(void *user)
{
    worker *own = user;
    work *w = own->w;
    for (int64_t i; !own->status && (i = atomic_fetch_add(&w->next, 1)) < w->count;) {
        own->status = w->piece(w->user, own->index, i);
        if (own->status)
            atomic_store(&w->next, w->count);
    }
    return NULL;
}

mf_status mf_parallel(int threads, int64_t count,
                      mf_status (*piece)(void *user, int worker, int64_t i), void *user)
{
    work w = {.count = count, .piece = piece, .user = user};
    worker workers[THREADS_MOST];
    const int n = threads < 1 ? 1 : threads > THREADS_MOST ? THREADS_MOST : threads;
    for (int i = 0; i < n; i++) {
        workers[i] = (worker){.w = &w, .index = i};
        if (i > 0 && i < count)
            workers[i].started = pthread_create(&workers[i].thread, NULL, run, &workers[i]) == 0;
    }
    run(&workers[0]);
    mf_status status = workers[0].status;
    for (int i = 1; i < n; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        if (status)
            mf_error_free(workers[i].status);
        else
            status = workers[i].status;
    }
    return status;
}
