/* child.c - see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAIL_LINES 12
#define LINE_BYTES 1000
#define LOOK_EVERY 50 /* ms between looks for a cancel */
#define GRACE 2.0     /* s from SIGTERM to SIGKILL */

typedef struct child {
    mf_task *task;
    pid_t pid;
    int output, death;
    char line[LINE_BYTES + 1];
    size_t length;
    char *tail[TAIL_LINES];
    size_t lines;
    mf_status cancelled; /* why it is being ended */
    double asked;
} child;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The child's side. It shares this process's memory until it runs the program, so that it can leave
 * the reason in *failed. It ends when the thread that started it does, be that by a kill. */
static _Noreturn void become(char *const *words, const char *folder, int output, int nothing,
                             volatile int *failed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL); /* as massflow found them, not as it sets them */
    signal(SIGXFSZ, SIG_DFL);
    dup2(nothing, 0);
    dup2(output, 1);
    dup2(output, 2);
    if (chdir(folder) == 0)
        execvp(words[0], words);
    *failed = errno;
    _exit(127);
}

/* vfork, for the process may be large and has threads. */
__attribute__((noinline)) static pid_t start(char *const *words, const char *folder, int output,
                                             int nothing, volatile int *failed)
{
    pid_t pid = vfork();

    if (pid == 0)
        become(words, folder, output, nothing, failed);
    return pid;
}

static mf_status not_started(const char *name, int failed)
{
    if (failed == ENOENT && !strchr(name, '/'))
        return mf_fail(MF_NOT_FOUND, "there is no command '%s' in PATH", name);
    return mf_fail(MF_NOT_FOUND, "'%s' could not be started: %s", name, strerror(failed));
}

static mf_status spawn(child *c, char *const *words, const char *folder)
{
    volatile int failed = 0;
    int pipes[2], nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    mf_status status = MF_OK;

    if (nothing < 0 || pipe2(pipes, O_CLOEXEC) != 0) {
        status = not_started(words[0], errno);
        if (nothing >= 0)
            close(nothing);
        return status;
    }
    c->pid = start(words, folder, pipes[1], nothing, &failed);
    if (c->pid < 0)
        status = not_started(words[0], errno);
    close(pipes[1]);
    close(nothing);
    c->output = pipes[0];
    fcntl(c->output, F_SETFL, O_NONBLOCK);
    if (!status && failed) {
        waitpid(c->pid, NULL, 0);
        status = not_started(words[0], failed);
    }
    if (!status) {
        mf_task_child(c->task, c->pid, true);
        c->death = pidfd_open(c->pid, 0);
    }
    return status;
}

/* ---- what it prints -------------------------------------------------------------------------- */

static void end_line(child *c)
{
    char **slot = &c->tail[c->lines++ % TAIL_LINES];

    c->line[c->length] = '\0';
    c->length = 0;
    free(*slot);
    *slot = strdup(c->line);
    mf_log(c->task, "%s", c->line);
}

/* Progress bars end their lines with \r. */
static void take_output(child *c, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool end = bytes[i] == '\n' || bytes[i] == '\r';
        if (end && (c->length || bytes[i] == '\n'))
            end_line(c);
        else if (!end)
            c->line[c->length++] = bytes[i];
        if (c->length == LINE_BYTES)
            end_line(c);
    }
}

static bool read_output(child *c)
{
    char bytes[4096];
    ssize_t got = c->output < 0 ? 0 : read(c->output, bytes, sizeof bytes);

    if (got > 0) {
        take_output(c, bytes, (size_t)got);
        return true;
    }
    if (got == 0 && c->output >= 0) {
        close(c->output);
        c->output = -1;
    }
    return false;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void look_for_cancel(child *c)
{
    if (c->cancelled) {
        if (now() - c->asked > GRACE)
            kill(-c->pid, SIGKILL);
        return;
    }
    c->cancelled = mf_cancel_point(c->task);
    if (!c->cancelled)
        return;
    c->asked = now();
    kill(-c->pid, SIGTERM);
}

/* False once the program has ended. */
static bool wait_on(child *c)
{
    struct pollfd waits[] = {{.fd = c->output, .events = POLLIN},
                             {.fd = c->death, .events = POLLIN}};
    siginfo_t ended = {0};

    if (poll(waits, 2, LOOK_EVERY) > 0 && waits[0].revents && read_output(c))
        return true; /* all that it printed first */
    look_for_cancel(c);
    waitid(P_PID, (id_t)c->pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    return ended.si_pid == 0;
}

/* A batch system that stops a run signals its commands as well, and they may end before the run
 * knows: that they did is no failure of theirs. */
static void look_for_stop(child *c, int how)
{
    bool asked = WIFSIGNALED(how) &&
                 (WTERMSIG(how) == SIGTERM || WTERMSIG(how) == SIGINT || WTERMSIG(how) == SIGHUP);

    for (int waited = 0; asked && !c->cancelled && waited < 10; waited++) {
        poll(NULL, 0, LOOK_EVERY);
        c->cancelled = mf_cancel_point(c->task);
    }
}

static void add_tail(const child *c, FILE *out)
{
    size_t first = c->lines > TAIL_LINES ? c->lines - TAIL_LINES : 0;

    if (c->lines)
        fprintf(out, "\n  the last that it printed:");
    for (size_t i = first; i < c->lines; i++)
        fprintf(out, "\n  | %s", c->tail[i % TAIL_LINES]);
}

static mf_status failure(const child *c, const char *name, int how)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    mf_status status;

    if (!out)
        return mf_fail(MF_NO_MEMORY, "no memory for an error");
    if (WIFSIGNALED(how))
        fprintf(out, "'%s' was killed by SIG%s (%s)", name,
                sigabbrev_np(WTERMSIG(how)) ? sigabbrev_np(WTERMSIG(how)) : "?",
                strsignal(WTERMSIG(how)));
    else
        fprintf(out, "'%s' ended with exit status %d", name, WEXITSTATUS(how));
    add_tail(c, out);
    fclose(out);
    status = mf_fail(MF_INVALID, "%s", text);
    free(text);
    return status;
}

mf_status child_run(mf_task *t, char *const *words, const char *folder)
{
    child c = {.task = t, .output = -1, .death = -1};
    mf_status status = spawn(&c, words, folder);
    int how = 0;

    if (!status) {
        while (wait_on(&c))
            ;
        kill(-c.pid, SIGKILL); /* what it left running */
        mf_task_child(t, c.pid, false);
        waitpid(c.pid, &how, 0);
        while (read_output(&c))
            ;
        if (c.length)
            end_line(&c);
        if (!c.cancelled)
            look_for_stop(&c, how);
        status = c.cancelled ? c.cancelled : how ? failure(&c, words[0], how) : MF_OK;
    }
    if (c.output >= 0)
        close(c.output);
    if (c.death >= 0)
        close(c.death);
    for (size_t i = 0; i < TAIL_LINES; i++)
        free(c.tail[i]);
    return status;
}
