/* signals.h - how this process answers signals: one table, that of signals.c, which holds against
 * the handlers that drivers set when they are loaded or compile (LLVM, in PoCL: for 16 signals).
 *
 * A program that owns its signals calls mf_signals_own; in any other nothing here has an effect. */
#ifndef MASSFLOW_RUN_SIGNALS_H
#define MASSFLOW_RUN_SIGNALS_H

#include <stdbool.h>

/* Once, in main, before any driver is loaded. Until somebody listens, requests to stop (SIGINT and
 * the like) end the process, as they do by default. */
void mf_signals_own(void);
/* Sets the table again where a driver has changed it: after devices were opened, after programs
 * were built, and every now and then. From any thread; not from a handler. */
void mf_signals_hold(void);
/* Before the first device is opened. An integer division by zero in code that is loaded by now (the
 * program, its libraries and plugins) is a crash; in what is loaded later, the kernels of a CPU
 * device, the driver may mend it. */
void mf_signals_before_drivers(void);

/* `stop` is called in the handler of a request to stop; where it is false the signal ends the
 * process. NULL: nobody listens any more. */
void mf_signals_listen(bool (*stop)(int number));
/* `say` is called in the handler of a signal that means a crash, once, before anything else. */
void mf_signals_last_words(void (*say)(int number));
/* A signal that is in no other part of the table; one that was ignored when the process was started
 * still is. */
void mf_signals_catch(int number, void (*handler)(int));

#endif
