/* worker.c - the command that massflow itself starts for an isolated node; nobody types it. */
#include "command.h"
#include "run/worker/execute.h"
#include <sys/socket.h>

static int work(const args *a)
{
    int type;
    socklen_t size = sizeof type;

    (void)a;
    if (getsockopt(MF_WORKER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return command_refuse("'massflow worker' is internal: only 'massflow run' starts it");
    mf_worker_serve(MF_WORKER_SOCKET);
}

/* Without a summary it is not listed. */
const command command_worker = {"worker", "NODE", NULL, NULL, NULL, 1, 1, work};
