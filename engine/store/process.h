/* process.h - which process this is, so that another can tell later whether it is gone.
 *
 * That can be known on the same running system alone: boot id and namespace of process numbers are
 * the same. There a process is told by its number and the time it was started, so that a number
 * that is used again is not mistaken. */
#ifndef MASSFLOW_STORE_PROCESS_H
#define MASSFLOW_STORE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mf_process {
    char machine[128];  /* boot id, namespace */
    int64_t pid, start; /* start: in ticks since the system was started */
} mf_process;

void mf_process_self(mf_process *self);
/* Whether both are processes of one running system. */
bool mf_process_near(const mf_process *a, const char *machine);
/* When a process of this system was started; -1 where there is none (a zombie has ended too). */
int64_t mf_process_start(int64_t pid);
/* It ran on this system, and has ended. */
bool mf_process_gone(const mf_process *process);

#endif
