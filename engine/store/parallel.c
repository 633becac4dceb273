/* parallel.c - work drawn by number from several threads. */
#include "store/internal.h"

#include <sched.h>
#include <stdatomic.h>

#define MOST_THREADS 8
#define WORTH_A_THREAD ((size_t)16 << 20) /* bytes of work */

struct mf__counter {
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
    mf_status (*work)(void *arg, mf__counter *counter);
    void *arg;
};

typedef struct worker {
    mf__counter *counter;
    pthread_t thread;
    mf_status status;
} worker;

bool mf__next(mf__counter *counter, size_t *i)
{
    if (atomic_load_explicit(&counter->failed, memory_order_relaxed))
        return false;
    *i = atomic_fetch_add_explicit(&counter->next, 1, memory_order_relaxed);
    return *i < counter->count;
}

static void *run(void *arg)
{
    worker *w = arg;
    w->status = w->counter->work(w->counter->arg, w->counter);
    if (w->status)
        atomic_store(&w->counter->failed, true);
    return NULL;
}

static size_t processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : (size_t)count;
}

mf_status mf__parallel(size_t count, size_t bytes,
                       mf_status (*work)(void *arg, mf__counter *counter), void *arg)
{
    worker workers[MOST_THREADS];
    mf__counter counter = {.count = count, .work = work, .arg = arg};
    size_t threads = bytes / WORTH_A_THREAD, most = processors();
    if (threads > most)
        threads = most;
    if (threads > count)
        threads = count;
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    size_t started = 1; /* the calling thread is worker 0 */
    workers[0] = (worker){&counter, pthread_self(), MF_OK};
    for (; started < threads; started++) {
        workers[started] = (worker){&counter, pthread_self(), MF_OK};
        if (pthread_create(&workers[started].thread, NULL, run, &workers[started]) != 0)
            break; /* the others do its share */
    }
    run(&workers[0]);
    for (size_t i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    mf_status first = MF_OK;
    for (size_t i = 0; i < started; i++) {
        if (!first)
            first = workers[i].status;
        else
            mf_error_free(workers[i].status);
    }
    return first;
}
