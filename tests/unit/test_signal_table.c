/* test_signal_table.c - the table of signals, held against handlers that come later. Each case is a
 * process of its own, which ends as the signals say. */
#include "../run_suite.h"
#include "run/process/signals.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU};
static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
/* Those of LLVM, in which all of the above are. */
static const int all[] = {SIGHUP, SIGINT,  SIGTERM, SIGUSR2, SIGILL,  SIGTRAP, SIGABRT, SIGFPE,
                          SIGBUS, SIGSEGV, SIGQUIT, SIGSYS,  SIGXCPU, SIGXFSZ, SIGUSR1};
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* ---- a driver that behaves as LLVM does --------------------------------------------------------
 */

static struct sigaction before[COUNT(all)];

static void say(const char *text)
{
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));

    (void)written;
}

/* Sets back all that it found, and leaves it at that. */
static void on_driver(int number)
{
    (void)number;
    for (size_t i = 0; i < COUNT(all); i++)
        sigaction(all[i], &before[i], NULL);
    say("driver ");
}

static void load_driver(void)
{
    struct sigaction action = {.sa_handler = on_driver, .sa_flags = SA_NODEFER | SA_RESETHAND};

    for (size_t i = 0; i < COUNT(all); i++)
        sigaction(all[i], &action, &before[i]);
}

/* ---- a process --------------------------------------------------------------------------------
 */

static void last_words(int number)
{
    (void)number;
    say("words ");
}

static atomic_int heard;

static bool hear(int number)
{
    say("stop ");
    return atomic_exchange(&heard, number) != number;
}

/* How `body` ended, as waitpid has it, and what it wrote. */
static int run(void (*body)(int), int number, char text[64])
{
    const struct rlimit no_core = {0, 0};
    int pipes[2], how = 0;
    size_t length = 0;
    ssize_t got;

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(pipes[1], STDOUT_FILENO);
        for (size_t i = 0; i < COUNT(all); i++)
            signal(all[i], SIG_DFL); /* a sanitizer may have a handler */
        body(number);
        _exit(0);
    }
    close(pipes[1]);
    while ((got = read(pipes[0], text + length, 63 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(pipes[0]);
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    return how;
}

static void expect_killed(void (*body)(int), int number, const char *text)
{
    char wrote[64];
    int how = run(body, number, wrote);

    ck_assert_str_eq(wrote, text);
    ck_assert_msg(WIFSIGNALED(how) && WTERMSIG(how) == number, "signal %d: %x", number, how);
}

static void expect_well(void (*body)(int), int number, const char *text)
{
    char wrote[64];
    int how = run(body, number, wrote);

    ck_assert_str_eq(wrote, text);
    ck_assert_msg(WIFEXITED(how) && WEXITSTATUS(how) == 0, "signal %d: %x", number, how);
}

/* ---- after a driver ---------------------------------------------------------------------------
 */

static void own_and_hold(void)
{
    mf_signals_own();
    mf_signals_last_words(last_words);
    load_driver();
    mf_signals_hold();
}

static void sent(int number)
{
    own_and_hold();
    raise(number);
}

static void sent_to_a_listener(int number)
{
    own_and_hold();
    mf_signals_listen(hear);
    raise(number);
    mf_signals_hold();
    raise(number); /* hear() is false this time */
}

/* No hold between: the driver's handler meets the signal, and has set back the table's. */
static void sent_before_it_is_held(int number)
{
    mf_signals_own();
    mf_signals_last_words(last_words);
    load_driver();
    raise(SIGQUIT);
    raise(number);
}

START_TEST(a_crash_that_is_sent_ends_the_process)
{
    for (size_t i = 0; i < COUNT(crashes); i++) {
        expect_killed(sent, crashes[i], "words driver ");
        expect_killed(sent_before_it_is_held, crashes[i], "driver words ");
    }
}
END_TEST

START_TEST(quit_ends_the_process_without_words)
{
    expect_killed(sent, SIGQUIT, "");
}
END_TEST

START_TEST(a_request_to_stop_ends_it_where_nobody_listens)
{
    for (size_t i = 0; i < COUNT(stops); i++) {
        expect_killed(sent, stops[i], "");
        expect_killed(sent_to_a_listener, stops[i], "stop stop ");
    }
}
END_TEST

START_TEST(failing_writes_end_nothing)
{
    expect_well(sent, SIGXFSZ, "");
    expect_well(sent, SIGPIPE, "");
}
END_TEST

/* ---- what was ignored at the start ------------------------------------------------------------
 */

static void ignored(int number)
{
    signal(number, SIG_IGN);
    sent(number);
}

static void ignored_but_listened_for(int number)
{
    signal(number, SIG_IGN);
    own_and_hold();
    mf_signals_listen(hear);
    raise(number);
}

START_TEST(what_was_ignored_stays_so)
{
    for (size_t i = 0; i < COUNT(stops); i++)
        expect_well(ignored, stops[i], "");
    expect_well(ignored, SIGQUIT, "");
    expect_well(ignored_but_listened_for, SIGHUP, "");
    expect_well(ignored_but_listened_for, SIGUSR1, "");
    /* A shell's background job ignores SIGINT; a run in it can be stopped nevertheless. */
    expect_well(ignored_but_listened_for, SIGINT, "stop ");
}
END_TEST

static void caught(int number)
{
    (void)number;
    say("caught ");
}

static void catch_one(int number)
{
    mf_signals_catch(number, caught);
    load_driver();
    signal(number, on_driver);
    mf_signals_hold();
    raise(number);
}

static void catch_ignored(int number)
{
    signal(number, SIG_IGN);
    catch_one(number);
}

START_TEST(others_can_be_added)
{
    expect_well(catch_one, SIGCONT, "caught ");
    expect_well(catch_ignored, SIGWINCH, "driver ");
}
END_TEST

/* ---- divisions by zero ------------------------------------------------------------------------
 */

#if defined(__x86_64__)
/* As PoCL's: skips the instruction, here one of two bytes. */
static void mend(int number, siginfo_t *about, void *context)
{
    ucontext_t *c = context;

    (void)number;
    say("mended ");
    if (about->si_code > 0)
        c->uc_mcontext.gregs[REG_RIP] += 2;
}

static void divide(void)
{
    __asm__ volatile("xorl %%edx, %%edx\n\tdivl %%edx" : : : "eax", "edx", "cc");
}

static void own_and_mend(void)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};

    mf_signals_own();
    mf_signals_last_words(last_words);
    sigaction(SIGFPE, &action, NULL);
    mf_signals_hold();
}

static void in_a_kernel(int number)
{
    (void)number;
    own_and_mend();
    divide();
    divide();
}

static void in_a_kernel_below_another_driver(int number)
{
    (void)number;
    own_and_mend();
    load_driver();
    mf_signals_hold();
    divide();
    mf_signals_hold();
    divide();
}

static void in_the_program(int number)
{
    (void)number;
    mf_signals_before_drivers();
    own_and_mend();
    divide();
}

static void sent_as_one(int number)
{
    own_and_mend();
    raise(number);
}

START_TEST(divisions_by_zero_are_mended_in_kernels_alone)
{
    expect_well(in_a_kernel, SIGFPE, "mended mended ");
    expect_well(in_a_kernel_below_another_driver, SIGFPE, "driver mended driver mended ");
    expect_killed(in_the_program, SIGFPE, "words mended ");
    expect_killed(sent_as_one, SIGFPE, "words mended ");
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("signal_table");
    TCase *cases = tcase_create("signal_table");

    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_crash_that_is_sent_ends_the_process);
    tcase_add_test(cases, quit_ends_the_process_without_words);
    tcase_add_test(cases, a_request_to_stop_ends_it_where_nobody_listens);
    tcase_add_test(cases, failing_writes_end_nothing);
    tcase_add_test(cases, what_was_ignored_stays_so);
    tcase_add_test(cases, others_can_be_added);
#if defined(__x86_64__)
    tcase_add_test(cases, divisions_by_zero_are_mended_in_kernels_alone);
#endif
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
