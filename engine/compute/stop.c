/* stop.c - see stop.h. */
#include "compute/stop.h"

#include <stddef.h>

static _Thread_local mf_stop current;

mf_stop mf_stop_set(mf_stop stop)
{
    mf_stop before = current;
    current = stop;
    return before;
}

mf_status mf_stop_ask(void)
{
    return current.ask ? current.ask(current.self) : MF_OK;
}
