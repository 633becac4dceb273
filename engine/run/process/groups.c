/* groups.c - see groups.h. The handlers read a table of atomic numbers and call nothing but kill.
 */
#include "run/process/groups.h"
#include "run/process/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#define MOST 1024

static _Atomic int groups[MOST]; /* 0: free; below 0: a worker's */

static bool put(int from, int to)
{
    for (size_t i = 0; i < MOST; i++) {
        int seen = from;
        if (atomic_compare_exchange_strong(&groups[i], &seen, to))
            return true;
    }
    return false;
}

void mf_group_add(int group, bool worker)
{
    put(0, worker ? -group : group);
}

void mf_group_remove(int group)
{
    if (!put(group, 0))
        put(-group, 0);
}

static void tell(int to_workers, int to_others)
{
    for (size_t i = 0; i < MOST; i++) {
        int group = atomic_load(&groups[i]);
        if (group < 0)
            kill(group, to_workers);
        else if (group > 0)
            kill(-group, to_others);
    }
}

static void on_stop(int number)
{
    int before = errno;

    (void)number;
    tell(SIGTSTP, SIGSTOP);
    raise(SIGSTOP); /* returns when the process goes on */
    errno = before;
}

static void on_continue(int number)
{
    int before = errno;

    (void)number;
    tell(SIGCONT, SIGCONT);
    errno = before;
}

void mf_groups_watch(void)
{
    mf_signals_catch(SIGTSTP, on_stop);
    mf_signals_catch(SIGTTOU, on_stop);
    mf_signals_catch(SIGCONT, on_continue);
}
