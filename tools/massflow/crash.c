/* crash.c - see crash.h. The handler runs in a program of which nothing can be trusted: it only
 * writes texts that stand ready, and hands on to whoever caught the signal before.
 *
 * Drivers catch these signals too: PoCL's compiler prints a trace, PoCL itself mends divisions by
 * zero in kernels. Who comes last is called first. So the watch is set up before any driver is
 * loaded, and again whenever a node starts, on top of what has come meanwhile. */
#include "crash.h"
#include "run/altstack.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define MOST 64

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define COUNT (sizeof numbers / sizeof *numbers)

/* Written by the run's thread, read by the handler in any. */
static const char *volatile running[MOST];
static volatile sig_atomic_t said;
/* Whom the handler hands on to, by number of the signal; in two stages, for whoever comes later may
 * keep the handler that he found and call it. */
static struct sigaction first[COUNT], later[COUNT];
static bool has_later[COUNT];

static void put(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void last_words(void)
{
    int named = 0;

    if (said)
        return;
    said = 1;
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
}

static bool calls(const struct sigaction *a)
{
    return (a->sa_flags & SA_SIGINFO) || (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN);
}

static void hand_on(const struct sigaction *to, int number, siginfo_t *about, void *context)
{
    if (to->sa_flags & SA_SIGINFO)
        to->sa_sigaction(number, about, context);
    else
        to->sa_handler(number);
}

/* Ends the program as the signal does: at the place of the fault, where it has one. */
static void end(int number, const siginfo_t *about)
{
    signal(number, SIG_DFL);
    if (about->si_code <= 0) /* sent, not met */
        raise(number);
}

static size_t index_of(int number)
{
    size_t i = 0;

    while (i + 1 < COUNT && numbers[i] != number)
        i++;
    return i;
}

/* At the bottom: nobody above has ended the program. */
static void at_first(int number, siginfo_t *about, void *context)
{
    static volatile sig_atomic_t handed;
    const struct sigaction *before = &first[index_of(number)];

    last_words();
    if (calls(before) && !handed) {
        handed = 1;
        hand_on(before, number, about, context);
    } else {
        end(number, about);
    }
}

/* On top of a driver's. */
static void at_last(int number, siginfo_t *about, void *context)
{
    static volatile sig_atomic_t handed;
    size_t i = index_of(number);

    last_words();
    if (!handed) {
        handed = 1;
        hand_on(&later[i], number, about, context);
        return; /* met again where he left it at that: then it ends */
    }
    end(number, about);
}

static void catch_with(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void crash_watch(void)
{
    mf_altstack_set();
    for (size_t i = 0; i < COUNT; i++) {
        if (sigaction(numbers[i], NULL, &first[i]) == 0 && first[i].sa_handler != SIG_IGN)
            catch_with(numbers[i], at_first);
    }
}

/* Divisions by zero are left to who mends them: he hands on to us what he does not. */
static void watch_again(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        struct sigaction now;
        if (numbers[i] == SIGFPE || sigaction(numbers[i], NULL, &now) != 0 || !calls(&now) ||
            now.sa_sigaction == at_first || now.sa_sigaction == at_last)
            continue;
        if (has_later[i] && now.sa_sigaction != later[i].sa_sigaction)
            continue; /* a third one on top of us: he knows us */
        later[i] = now;
        has_later[i] = true;
        catch_with(numbers[i], at_last);
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
    if (event->kind == MF_RUN_STARTED || event->kind == MF_RUN_TICK)
        watch_again();
    if (event->kind == MF_RUN_STARTED)
        put_away(NULL, event->node);
    else if (event->kind == MF_RUN_DONE || event->kind == MF_RUN_FAILED)
        put_away(event->node, NULL);
}
