/* together.c - see together.h. */
#include "run/remote/together.h"
#include "run/process/altstack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct number {
    mf_workers *workers;
    const mf_gang_seat *seat;
    mf_task *task;
    const mf_limits *limits;
    const char *key;
    mf_gang *gang;
    int rank;
    mf_remote_end end;
    mf_status status;
    pthread_t thread;
    bool threaded;
} number;

static void *run_number(void *self)
{
    number *n = self;

    mf_altstack_set();
    n->status = mf_execute_number(n->workers, n->seat, n->task, n->limits, n->key, n->gang, n->rank,
                                  &n->end);
    return NULL;
}

static void start(number *n)
{
    n->threaded = pthread_create(&n->thread, NULL, run_number, n) == 0;
    if (n->threaded)
        return;
    n->status = mf_fail(MF_NO_MEMORY, "no thread for a worker of a node");
    mf_gang_leave(n->gang, n->rank, false);
}

/* An error goes before those of workers that ended because of it. */
static mf_status first_error(number *all, size_t count)
{
    mf_status status = MF_OK;

    for (size_t i = 0; i < count; i++) {
        mf_status own = all[i].status;
        if (own && (!status || (mf_error_code(status) == MF_CANCELLED &&
                                mf_error_code(own) != MF_CANCELLED))) {
            mf_error_free(status);
            status = own;
        } else {
            mf_error_free(own);
        }
    }
    return status;
}

/* Where one was lost or has ended, the node goes back, whatever the others say: they say what came
 * of that. So it does where they lost each other, though all are there. */
static mf_status join_ends(number *all, size_t count, mf_host *host, mf_remote_end *end,
                           size_t *place)
{
    mf_status status;

    *end = all->end;
    end->returned = end->lost = end->full = false;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].end.returned || end->lost)
            continue;
        if (!end->returned || all[i].end.lost) {
            *place = i;
            end->full = all[i].end.full;
        }
        end->returned = true;
        end->lost = all[i].end.lost;
    }
    status = first_error(all, count);
    if (!end->returned && status && mf_error_code(status) == MF_CANCELLED &&
        !mf_host_cancelled(host)) {
        const double timeout = all->limits->timeout;
        if (timeout > 0 && mf_task_overtime(all->task) >= 0) {
            mf_error_free(status);
            return mf_fail(MF_CANCELLED, "it ran longer than its timeout of %g s", timeout);
        }
        end->returned = end->lost = true;
        *place = 0;
    }
    if (!end->returned)
        return status;
    end->store_failed = false;
    mf_error_free(status);
    return MF_OK;
}

/* "runs at n1:1, n2:1 together, which reach each other by MPI" */
static void tell_places(const mf_gang *g, mf_workers *workers, const mf_gang_seat *seats,
                        size_t count, mf_task *task)
{
    char line[1024];
    size_t length = (size_t)snprintf(line, sizeof line, "runs at ");

    for (size_t i = 0; i < count && length < sizeof line; i++) {
        mf_worker_state s;
        mf_workers_state(workers, seats[i].worker, &s);
        length +=
            (size_t)snprintf(line + length, sizeof line - length, "%s%s", i ? ", " : "", s.name);
    }
    if (length < sizeof line)
        snprintf(line + length, sizeof line - length, " together, which reach each other by %s",
                 mf_gang_by_mpi(g) ? "MPI" : "TCP");
    mf_host_log(mf_task_host(task), mf_task_work(task)->node, line);
}

static mf_status run_all(number *all, size_t count, mf_remote_end *end, size_t *place)
{
    for (size_t i = 1; i < count; i++)
        start(&all[i]);
    run_number(&all[0]);
    for (size_t i = 1; i < count; i++)
        if (all[i].threaded)
            pthread_join(all[i].thread, NULL);
    return join_ends(all, count, mf_task_host(all->task), end, place);
}

/* The number that all begin as has no gang and no rank yet. */
static mf_status try_once(const number *how, const mf_gang_seat *seats, size_t count,
                          mf_remote_end *end, size_t *place)
{
    number *all = calloc(count, sizeof *all);
    mf_gang *gang = NULL;
    mf_status status = all ? mf_gang_new(how->workers, seats, count, &gang)
                           : mf_no_memory(0, "%zu workers of a node", count);

    for (size_t i = 0; i < count && !status; i++) {
        all[i] = *how;
        all[i].seat = &seats[i];
        all[i].gang = gang;
        all[i].rank = (int)i;
    }
    if (!status) {
        tell_places(gang, how->workers, seats, count, how->task);
        mf_task_begin_checkpoints(how->task);
        mf_task_set_timeout(how->task, how->limits->timeout);
        status = run_all(all, count, end, place);
        mf_task_set_timeout(how->task, 0);
    }
    mf_gang_free(gang);
    free(all);
    if (status || end->returned)
        mf_task_drop(how->task);
    return status;
}

mf_status mf_execute_together(mf_workers *workers, const mf_gang_seat *seats, size_t count,
                              mf_task *task, const mf_limits *limits, const char *key,
                              mf_remote_end *end, size_t *place)
{
    const number how = {.workers = workers, .task = task, .limits = limits, .key = key};

    *place = 0;
    *end = (mf_remote_end){0};
    for (int tried = 1;; tried++) {
        mf_status status = try_once(&how, seats, count, end, place);
        if (!status || end->store_failed || tried > limits->retries ||
            mf_host_cancelled(mf_task_host(task)))
            return status;
        mf_retry_tell(task, status, tried, limits->retries + 1);
        mf_error_free(status);
    }
}
