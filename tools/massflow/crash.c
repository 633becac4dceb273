/* crash.c - see crash.h. The handler runs in a program of which nothing can be trusted: it only
 * writes texts that stand ready. */
#include "crash.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define MOST 64

/* Written by the run's thread, read by the handler in any. */
static const char *volatile running[MOST];

static void put(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void last_words(int number)
{
    int named = 0;

    put("\nmassflow: error: massflow crashed");
    for (int i = 0; i < MOST; i++) {
        const char *node = running[i];
        if (!node)
            continue;
        put(named++ ? ", " : "; running were: ");
        put(node);
    }
    put(named ? "\n  isolate: true at a stage makes its crash an error of that node alone; what is "
                "done is kept\n"
              : "\n");
    signal(number, SIG_DFL);
    raise(number);
}

void crash_watch(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action, before;
        if (sigaction(numbers[i], NULL, &before) || before.sa_handler != SIG_DFL)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = last_words;
        sigaction(numbers[i], &action, NULL);
    }
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
    else if (event->kind == MF_RUN_DONE || event->kind == MF_RUN_FAILED)
        put_away(event->node, NULL);
}
