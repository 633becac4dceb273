/* altstack.h - a stack for signal handlers in the calling thread, so that what catches a crash can
 * still run where the thread's own stack is used up. */
#ifndef MASSFLOW_RUN_ALTSTACK_H
#define MASSFLOW_RUN_ALTSTACK_H

/* Given back when the thread ends; nothing happens where it has one already. */
void mf_altstack_set(void);

#endif
