/* interrupt.c - signals of a process that runs tasks for another one. */
#include "run/process/groups.h"
#include "run/process/signals.h"
#include "run/worker/execute.h"

#include <stdatomic.h>

static mf_host *volatile interrupted;

static bool on_signal(int number)
{
    static atomic_ullong met; /* a bit a signal */
    unsigned long long bit = 1ull << number;

    if (atomic_fetch_or(&met, bit) & bit)
        return false;
    mf_host_interrupt(interrupted, number);
    return true;
}

void mf_worker_mind_signals(mf_host *host)
{
    interrupted = host;
    mf_signals_listen(on_signal);
    mf_groups_watch();
}
