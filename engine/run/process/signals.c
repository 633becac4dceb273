/* signals.c - see signals.h. What is here runs in handlers, in a process of which little may be
 * right: no locks, no memory, nothing but atomics and system calls.
 *
 * A crash is first told, then handed on to the handlers that were found: a sanitizer's, which was
 * there at the start, and those of drivers, which the table has displaced. They may print a trace.
 * Then the signal ends the process, whatever they did. Divisions by zero in kernels are the
 * exception: OpenCL leaves their result open, and PoCL's handler skips them. It would skip those of
 * any other code as well, so it is asked only of what was loaded after it. */
#include "run/process/signals.h"
#include "run/process/altstack.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNALS 65 /* above all numbers */
#define MOST 4     /* handlers of drivers for one signal */

typedef enum answer {
    STOPS,   /* a request to stop, from a person */
    WARNS,   /* the same, from a system; it can be told not to (nohup) */
    CRASHES, /* told, and the end */
    FAILS,   /* ignored: the write fails, with words (`massflow stages | head`, ulimit -f) */
    STAYS    /* as it was when the process was started: by default, the end */
} answer;

static const struct {
    int number;
    answer answer;
} table[] = {
    {SIGINT, STOPS},   {SIGTERM, STOPS},   {SIGHUP, WARNS},    {SIGUSR1, WARNS},
    {SIGUSR2, WARNS},  {SIGQUIT, STAYS},   {SIGSEGV, CRASHES}, {SIGBUS, CRASHES},
    {SIGFPE, CRASHES}, {SIGILL, CRASHES},  {SIGABRT, CRASHES}, {SIGTRAP, CRASHES},
    {SIGSYS, CRASHES}, {SIGXCPU, CRASHES}, {SIGPIPE, FAILS},   {SIGXFSZ, FAILS},
};

/* Written before `owned` is, then left alone. */
static struct sigaction wanted[SIGNALS], found[SIGNALS];
static atomic_bool owned[SIGNALS];
/* Handlers of drivers, the last one on top; written under the lock of mf_signals_hold. */
static struct sigaction displaced[SIGNALS][MOST];
static atomic_int displaced_count[SIGNALS];

/* Machine code that was loaded before any driver. */
static struct {
    uintptr_t low, high;
} code[2048];
static atomic_size_t code_count;

static _Atomic(bool (*)(int)) listener;
static _Atomic(void (*)(int)) words;
static atomic_bool ending;

/* In a handler that a handler has called. Of the initial thread block, so that the first use in a
 * thread takes no memory. */
static __thread __attribute__((tls_model("initial-exec"))) volatile sig_atomic_t depth;

static bool calls(const struct sigaction *a)
{
    return (a->sa_flags & SA_SIGINFO) || (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN);
}

static bool same(const struct sigaction *a, const struct sigaction *b)
{
    return a->sa_handler == b->sa_handler; /* the same word as sa_sigaction */
}

static bool is_ignored(int number)
{
    return !(found[number].sa_flags & SA_SIGINFO) && found[number].sa_handler == SIG_IGN;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* Sends the signal once more, with what is known of it. It is blocked while its handler runs: it
 * comes, and ends the process, where the handler returns to. A core file then shows that place. */
static void end_by(int number, siginfo_t *about)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};

    atomic_store(&ending, true);
    sigemptyset(&usual.sa_mask);
    sigaction(number, &usual, NULL);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, about) != 0)
        raise(number);
}

static void on_stop(int number, siginfo_t *about, void *context)
{
    int before = errno;
    bool (*stop)(int) = atomic_load(&listener);

    (void)context;
    if (stop ? !stop(number) : !is_ignored(number))
        end_by(number, about);
    errno = before;
}

/* ---- crashes --------------------------------------------------------------------------------- */

static void hand_on(const struct sigaction *to, int number, siginfo_t *about, void *context)
{
    depth++;
    if (to->sa_flags & SA_SIGINFO)
        to->sa_sigaction(number, about, context);
    else
        to->sa_handler(number);
    depth--;
}

/* Where the thread goes on; 0: not known on this machine. */
static uintptr_t place(const void *context)
{
    const ucontext_t *c = context;
#if defined(__x86_64__)
    return (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)c->uc_mcontext.pc;
#else
    (void)c;
    return 0;
#endif
}

static bool is_before_drivers(uintptr_t place)
{
    for (size_t i = 0, count = atomic_load(&code_count); i < count; i++)
        if (place >= code[i].low && place < code[i].high)
            return true;
    return false;
}

/* Whether one of them has moved the thread on. */
static bool ask_drivers(int number, siginfo_t *about, void *context)
{
    uintptr_t before = place(context);

    for (int i = atomic_load(&displaced_count[number]); i > 0 && place(context) == before; i--)
        hand_on(&displaced[number][i - 1], number, about, context);
    return place(context) != before;
}

static void on_crash(int number, siginfo_t *about, void *context)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    bool is_division = number == SIGFPE && about->si_code > 0 && !is_before_drivers(place(context));
    void (*say)(int) = atomic_load(&words);
    int before = errno;

    if (!depth && is_division && ask_drivers(number, about, context)) {
        errno = before;
        return;
    }
    if (!atomic_flag_test_and_set(&told)) {
        if (say)
            say(number);
        if (!depth && !is_division)
            ask_drivers(number, about, context);
        if (!depth && calls(&found[number]))
            hand_on(&found[number], number, about, context);
    }
    end_by(number, about);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void own(int number, const struct sigaction *action)
{
    wanted[number] = *action;
    atomic_store(&owned[number], true);
    sigaction(number, action, NULL);
}

static void own_as(int number, answer how)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    if (sigaction(number, NULL, &found[number]) != 0)
        return;
    sigemptyset(&action.sa_mask);
    if (how == FAILS)
        action = (struct sigaction){.sa_handler = SIG_IGN};
    else if (how == STAYS || (how != STOPS && is_ignored(number)))
        action = found[number];
    else if (how == CRASHES)
        action.sa_sigaction = on_crash, action.sa_flags |= SA_ONSTACK;
    else
        action.sa_sigaction = on_stop, action.sa_flags |= SA_RESTART;
    own(number, &action);
}

void mf_signals_own(void)
{
    mf_altstack_set();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        own_as(table[i].number, table[i].answer);
}

/* Of one loaded file. */
static int note_code(struct dl_phdr_info *object, size_t size, void *self)
{
    (void)size;
    (void)self;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        size_t count = atomic_load(&code_count);
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) ||
            count == sizeof code / sizeof *code)
            continue;
        code[count].low = (uintptr_t)object->dlpi_addr + part->p_vaddr;
        code[count].high = code[count].low + part->p_memsz;
        atomic_store(&code_count, count + 1);
    }
    return 0;
}

void mf_signals_before_drivers(void)
{
    if (atomic_load(&code_count) == 0)
        dl_iterate_phdr(note_code, NULL);
}

static void displace(int number, const struct sigaction *by)
{
    int count = atomic_load(&displaced_count[number]);

    for (int i = 0; i < count; i++)
        if (same(&displaced[number][i], by))
            return;
    if (count == MOST || !calls(by))
        return;
    displaced[number][count] = *by;
    atomic_store(&displaced_count[number], count + 1);
}

void mf_signals_hold(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction now;

    pthread_mutex_lock(&lock);
    for (int i = 1; i < SIGNALS; i++) {
        if (!atomic_load(&owned[i]) || atomic_load(&ending) || sigaction(i, NULL, &now) != 0 ||
            same(&now, &wanted[i]))
            continue;
        displace(i, &now);
        sigaction(i, &wanted[i], NULL);
    }
    pthread_mutex_unlock(&lock);
}

void mf_signals_listen(bool (*stop)(int number))
{
    atomic_store(&listener, stop);
}

void mf_signals_last_words(void (*say)(int number))
{
    atomic_store(&words, say);
}

void mf_signals_catch(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, was;

    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &was) == 0 && was.sa_handler != SIG_IGN)
        own(number, &action);
}
