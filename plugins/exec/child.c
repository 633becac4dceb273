/* child.c - see child.h. The command is started by a supervisor, a small process that outlives this
 * one: see supervise/main.c. */
#include "child.h"

#include "../common/beside.h"
#include "supervise/protocol.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUPERVISOR "massflow-supervise"
#define TAIL_LINES 12
#define LINE_BYTES 1000
#define LOOK_EVERY 50 /* ms between looks for a cancel where nothing else happens */
#define GRACE 2.0     /* s from SIGTERM to the kill */
#define LOOK_IN 0.2   /* s between the caller's looks, and at least 20 times as long as one takes */
#define MOST_LEFT 64  /* reads of what a command that has ended printed last: 256 KiB */

extern char **environ;

typedef struct child {
    mf_task *task;
    const char *name;
    pid_t supervisor; /* 0: none that is to be waited for */
    pid_t pid;        /* the command, which leads a group */
    int output, socket;
    char line[LINE_BYTES + 1];
    size_t length;
    char *tail[TAIL_LINES];
    size_t lines;
    child_look look;
    void *self;
    double next_look;
    mf_status cancelled; /* why it is being ended */
    double asked;
    bool killed;
    bool ended; /* it has: */
    int how;    /* as wait says */
} child;

/* ---- the supervisor -------------------------------------------------------------------------- */

static void tell(const child *c, supervise_kind kind)
{
    const supervise_message m = {(int32_t)kind, 0};

    /* Where it is gone, the next look at the socket says so. */
    if (send(c->socket, &m, sizeof m, MSG_NOSIGNAL) < 0)
        return;
}

/* Waits for a message; false where the supervisor is gone. */
static bool hear(const child *c, supervise_message *m)
{
    ssize_t got;

    do
        got = recv(c->socket, m, sizeof *m, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof *m;
}

static mf_status no_supervisor(const char *why)
{
    return mf_hint(mf_fail(MF_NOT_FOUND, SUPERVISOR " could not be started: %s", why),
                   "it is a part of massflow: build or install massflow again");
}

/* This process's without the mark of a worker: the supervisor ends when it has done its own work.
 */
static char **environment_for(void)
{
    size_t count = 0, length = strlen(MF_WORKER_MARK "=");

    while (environ[count])
        count++;
    char **made = calloc(count + 1, sizeof *made), **to = made;
    for (size_t i = 0; made && i < count; i++)
        if (strncmp(environ[i], MF_WORKER_MARK "=", length))
            *to++ = environ[i];
    return made;
}

/* A group of its own: a Ctrl-C is for massflow, which then ends the command. */
static int spawn_with(child *c, const char *program, char *const *arguments, int socket, int output)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    char **environment = environment_for();
    int failed;

    sigemptyset(&none);
    sigemptyset(&usual); /* as massflow found them, not as it sets them */
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawn_file_actions_adddup2(&files, output, 2);
    posix_spawn_file_actions_adddup2(&files, socket, SUPERVISE_SOCKET);
    posix_spawn_file_actions_addclosefrom_np(&files, SUPERVISE_SOCKET + 1);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    failed = environment
                 ? posix_spawn(&c->supervisor, program, &files, &how, arguments, environment)
                 : ENOMEM;
    free(environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static mf_status open_channels(child *c, int *socket, int *output)
{
    int sockets[2], pipes[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return no_supervisor(strerror(errno));
    c->socket = sockets[0];
    *socket = sockets[1];
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        mf_status status = no_supervisor(strerror(errno));
        close(sockets[1]);
        return status;
    }
    c->output = pipes[0];
    *output = pipes[1];
    fcntl(c->output, F_SETFL, O_NONBLOCK);
    return MF_OK;
}

static mf_status spawn_supervisor(child *c, char *const *words, const char *folder)
{
    size_t count = 0;
    int socket = -1, output = -1, failed;

    while (words[count])
        count++;
    char **arguments = calloc(count + 3, sizeof *arguments);
    char *program = beside_module(SUPERVISOR);
    if (!arguments || !program) {
        free(arguments);
        free(program);
        return mf_no_memory(0, "a command");
    }
    arguments[0] = (char *)SUPERVISOR;
    arguments[1] = (char *)folder;
    memcpy(arguments + 2, words, count * sizeof *words);
    mf_status status = open_channels(c, &socket, &output);
    if (!status) {
        failed = spawn_with(c, program, arguments, socket, output);
        close(socket);
        close(output);
        if (failed) {
            c->supervisor = 0;
            status = no_supervisor(strerror(failed));
        }
    }
    free(arguments);
    free(program);
    return status;
}

static mf_status not_started(const char *name, int failed)
{
    if (failed == ENOENT && !strchr(name, '/'))
        return mf_fail(MF_NOT_FOUND, "there is no command '%s' in PATH", name);
    return mf_fail(MF_NOT_FOUND, "'%s' could not be started: %s", name, strerror(failed));
}

static mf_status start(child *c, char *const *words, const char *folder)
{
    supervise_message m;

    MF_TRY(spawn_supervisor(c, words, folder));
    if (!hear(c, &m) || (m.kind != SUPERVISE_STARTED && m.kind != SUPERVISE_FAILED))
        return no_supervisor("it ended at once");
    if (m.kind == SUPERVISE_FAILED)
        return not_started(c->name, m.value);
    c->pid = m.value;
    mf_task_child(c->task, c->pid, true);
    return MF_OK;
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

/* Reads once; false at the end or when there is nothing. */
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

/* Every time, however much it prints. */
static void look_for_cancel(child *c)
{
    if (c->cancelled) {
        if (!c->killed && mf_seconds() - c->asked > GRACE) {
            tell(c, SUPERVISE_KILL);
            c->killed = true;
        }
        return;
    }
    c->cancelled = mf_cancel_point(c->task);
    if (!c->cancelled)
        return;
    c->asked = mf_seconds();
    tell(c, SUPERVISE_ASK);
}

/* What the caller finds is no reason to let it end by itself. */
static void look_in(child *c)
{
    double begun = mf_seconds();

    if (c->cancelled || begun < c->next_look)
        return;
    c->cancelled = c->look(c->self);
    c->next_look = mf_seconds() + LOOK_IN + 20 * (mf_seconds() - begun);
    if (!c->cancelled)
        return;
    tell(c, SUPERVISE_KILL);
    c->killed = true;
}

/* False once the command has ended, or nobody watches it any more. */
static bool wait_on(child *c)
{
    struct pollfd waits[] = {{.fd = c->output, .events = POLLIN},
                             {.fd = c->socket, .events = POLLIN}};
    supervise_message m;

    poll(waits, 2, LOOK_EVERY);
    if (waits[0].revents)
        read_output(c);
    look_for_cancel(c);
    look_in(c);
    if (!waits[1].revents)
        return true;
    if (!hear(c, &m))
        return false;
    c->ended = m.kind == SUPERVISE_ENDED;
    c->how = m.value;
    return !c->ended;
}

/* What the command left running is ended; what can't be is said. */
static void end_rest(child *c)
{
    supervise_message m;

    mf_task_child(c->task, c->pid, false);
    if (!c->ended) { /* somebody has killed the supervisor, and the system the command */
        kill(-c->pid, SIGKILL);
        return;
    }
    tell(c, SUPERVISE_FORGOTTEN);
    if (!hear(c, &m) || m.kind != SUPERVISE_GONE || m.value == 0)
        return;
    mf_log(c->task, "%d processes that '%s' started cannot be ended and continue", m.value,
           c->name);
    c->supervisor = 0; /* it goes on too, to end them when it can */
}

/* A batch system that stops a run signals its commands as well, and they may end before the run
 * knows: that they did is no failure of theirs. */
static void look_for_stop(child *c)
{
    int number = c->ended && WIFSIGNALED(c->how) ? WTERMSIG(c->how) : 0;
    bool asked = number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGUSR1 ||
                 number == SIGUSR2;

    for (int waited = 0; asked && !c->cancelled && waited < 10; waited++) {
        poll(NULL, 0, LOOK_EVERY);
        c->cancelled = mf_cancel_point(c->task);
    }
}

/* ---- how it ended ---------------------------------------------------------------------------- */

static void add_tail(const child *c, FILE *out)
{
    size_t first = c->lines > TAIL_LINES ? c->lines - TAIL_LINES : 0;

    if (c->lines)
        fprintf(out, "\n  last lines that it printed:");
    for (size_t i = first; i < c->lines; i++)
        fprintf(out, "\n  | %s", c->tail[i % TAIL_LINES]);
}

static mf_status failure(const child *c)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    mf_status status;

    if (!out)
        return mf_no_memory(0, "an error");
    if (!c->ended)
        fprintf(out, "the supervisor of '%s' was killed, and so was the command", c->name);
    else if (WIFSIGNALED(c->how))
        fprintf(out, "'%s' was killed by SIG%s (%s)", c->name,
                sigabbrev_np(WTERMSIG(c->how)) ? sigabbrev_np(WTERMSIG(c->how)) : "?",
                strsignal(WTERMSIG(c->how)));
    else
        fprintf(out, "'%s' ended with exit status %d", c->name, WEXITSTATUS(c->how));
    add_tail(c, out);
    fclose(out);
    status = mf_fail(MF_INVALID, "%s", text);
    free(text);
    return status;
}

static mf_status watch(child *c)
{
    while (wait_on(c))
        ;
    end_rest(c);
    for (int i = 0; i < MOST_LEFT && read_output(c); i++)
        ;
    if (c->length)
        end_line(c);
    if (!c->cancelled)
        look_for_stop(c);
    if (c->cancelled)
        return c->cancelled;
    return c->ended && !c->how ? c->look(c->self) : failure(c);
}

mf_status child_run(mf_task *t, char *const *words, const char *folder, child_look look, void *self)
{
    child c = {.task = t, .name = words[0], .output = -1, .socket = -1, .look = look, .self = self};
    mf_status status = start(&c, words, folder);

    if (!status)
        status = watch(&c);
    if (c.output >= 0)
        close(c.output);
    if (c.socket >= 0)
        close(c.socket);
    if (c.supervisor)
        waitpid(c.supervisor, NULL, 0);
    for (size_t i = 0; i < TAIL_LINES; i++)
        free(c.tail[i]);
    return status;
}
