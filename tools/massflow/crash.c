/* crash.c - see crash.h. The words are said in a program of which nothing can be trusted: only
 * texts that stand ready are written. */
#include "crash.h"
#include "run/process/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define MOST 64

/* Written by the run's thread, read by the handler in any. */
static const char *volatile running[MOST];

/* Written at once, so that no line of another thread gets between. */
static char said[1 << 14];
static size_t length;

static void put(const char *text)
{
    size_t size = strlen(text);

    if (size > sizeof said - length)
        size = sizeof said - length;
    memcpy(said + length, text, size);
    length += size;
}

static void last_words(int number)
{
    int named = 0;

    put(number == SIGXCPU ? "\nmassflow: error: the CPU time that this shell allows is used up"
                          : "\nmassflow: error: massflow crashed");
    for (int i = 0; i < MOST; i++) {
        const char *node = running[i];
        if (!node)
            continue;
        put(named++ ? ", " : "; running were: ");
        put(node);
    }
    if (number == SIGXCPU)
        put("\n  'ulimit -t' says how much; raise it and run again: finished results are kept\n");
    else if (named)
        put("\n  isolate: true at a stage makes its crash an error of that node alone; finished "
            "results are kept\n");
    else
        put("\n");
    if (write(STDERR_FILENO, said, length) < 0)
        return; /* nobody hears it */
}

void crash_watch(void)
{
    mf_signals_last_words(last_words);
}

static void put_away(const char *from, const char *to)
{
    for (int i = 0; i < MOST; i++)
        if (running[i] == from) {
            running[i] = to;
            return;
        }
}

void crash_event(const mf_run_event *event)
{
    if (event->kind == MF_RUN_STARTED)
        put_away(NULL, event->node);
    else if (event->kind == MF_RUN_DONE || event->kind == MF_RUN_FAILED ||
             event->kind == MF_RUN_RETURNED)
        put_away(event->node, NULL);
}
