/* supervise.c - massflow-supervise: starts one command and ends all that it started.
 *
 * Whatever the command starts is a descendant of this process for as long as it lives: what loses
 * its parent is handed to this process (PR_SET_CHILD_SUBREAPER), whatever session or group it has
 * made for itself. When the command has ended, is to end, or the stage is gone (massflow was
 * killed), all of them are killed.
 *
 * massflow-supervise FOLDER COMMAND [ARGUMENT...], with the stage's socket as file 3. */
#include "protocol.h"

#include <massflow/memory.h>
#include <massflow/seconds.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY 20   /* ms between looks at what does not end */
#define GIVE_UP 10.0    /* s; then it is said how many do not end */
#define SLOW_EVERY 1000 /* ms between looks after that */

static pid_t command; /* 0 once it is reaped */
static pid_t group;   /* that it leads */
static int deaths;    /* can be read when a child has ended */
static bool alone;    /* the stage is gone, or was told all */

static void tell(supervise_kind kind, int value)
{
    const supervise_message m = {kind, value};

    if (!alone && send(SUPERVISE_SOCKET, &m, sizeof m, MSG_NOSIGNAL) < 0)
        alone = true;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The child's side. It shares this process's memory until it runs the program, so that it can leave
 * the reason in *failed. */
static _Noreturn void become(char *const *words, const char *folder, const sigset_t *mask,
                             volatile int *failed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (chdir(folder) == 0)
        execvp(words[0], words);
    *failed = errno;
    _exit(127);
}

__attribute__((noinline)) static pid_t start(char *const *words, const char *folder,
                                             const sigset_t *mask, volatile int *failed)
{
    pid_t pid = vfork();

    if (pid == 0)
        become(words, folder, mask, failed);
    return pid;
}

/* ---- what it started ------------------------------------------------------------------------- */

typedef struct process {
    pid_t pid, parent;
    bool below; /* a descendant of this process */
} process;

/* False for what has ended. */
static bool look_at(const char *name, process *p)
{
    char path[300], text[1024], state, *rest;
    int parent, file;
    ssize_t got;

    p->pid = (pid_t)strtol(name, &rest, 10);
    if (p->pid <= 0 || *rest)
        return false;
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    got = read(file, text, sizeof text - 1);
    close(file);
    text[got > 0 ? got : 0] = '\0';
    rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest + 1, " %c %d", &state, &parent) != 2)
        return false;
    p->parent = parent;
    p->below = false;
    return true;
}

static process *list_all(size_t *count)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    process *all = NULL;

    *count = 0;
    while (folder && (entry = readdir(folder))) {
        process *grown = mf_list_more(all, *count, sizeof *all);
        if (!grown)
            break;
        all = grown;
        *count += look_at(entry->d_name, &all[*count]);
    }
    if (folder)
        closedir(folder);
    return all;
}

static int by_pid(const void *a, const void *b)
{
    const process *x = a, *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool is_below(const process *all, size_t count, const process *p)
{
    const process key = {.pid = p->parent};
    const process *parent = bsearch(&key, all, count, sizeof *all, by_pid);

    return p->parent == getpid() || (parent && parent->below);
}

/* Kills all descendants; how many there were. Those that they start meanwhile are met by the next
 * round. */
static int kill_round(void)
{
    size_t count;
    process *all = list_all(&count);
    bool more = count > 0;
    int found = 0;

    if (command)
        kill(-group, SIGKILL);
    if (more)
        qsort(all, count, sizeof *all, by_pid);
    while (more) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            if (all[i].below || !is_below(all, count, &all[i]))
                continue;
            all[i].below = more = true;
            found++;
            kill(all[i].pid, SIGKILL);
        }
    }
    free(all);
    return found;
}

/* Reaps what has ended; true when there is no child left, and so no descendant. */
static bool reap(void)
{
    pid_t ended;

    while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
        if (ended == command)
            command = 0;
    return ended < 0 && errno == ECHILD;
}

static void wait_for_death(int ms)
{
    struct pollfd wait = {.fd = deaths, .events = POLLIN};
    struct signalfd_siginfo told;

    if (poll(&wait, 1, ms) > 0 && read(deaths, &told, sizeof told) < 0)
        return;
}

/* What can't be killed (it runs as another user, or waits for a disk) is told after a while, and
 * watched on. */
static void end_all(void)
{
    double begun = mf_seconds();
    int left = 0;
    bool told = false;

    while (!reap()) {
        left = kill_round();
        if (!told && mf_seconds() - begun > GIVE_UP) {
            tell(SUPERVISE_GONE, left);
            told = true;
            alone = true;
        }
        wait_for_death(told ? SLOW_EVERY : LOOK_EVERY);
    }
    if (!told)
        tell(SUPERVISE_GONE, 0);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* What the stage says; 0: nothing. */
static int hear(void)
{
    supervise_message m;
    ssize_t got = recv(SUPERVISE_SOCKET, &m, sizeof m, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got != (ssize_t)sizeof m) {
        alone = true;
        return SUPERVISE_KILL;
    }
    if (m.kind == SUPERVISE_ASK)
        kill(-group, SIGTERM);
    return m.kind;
}

/* Reaps what the command left to this process meanwhile. True once the command itself has ended;
 * that is not reaped, for its number is still used by the stage. */
static bool has_ended(int *how)
{
    for (;;) {
        siginfo_t one = {0};
        if (waitid(P_PID, (id_t)command, &one, WEXITED | WNOHANG | WNOWAIT) == 0 && one.si_pid) {
            *how = one.si_code == CLD_EXITED ? one.si_status << 8 : one.si_status;
            return true;
        }
        one = (siginfo_t){0};
        if (waitid(P_ALL, 0, &one, WEXITED | WNOHANG | WNOWAIT) != 0 || !one.si_pid ||
            one.si_pid == command)
            return false;
        waitpid(one.si_pid, NULL, 0);
    }
}

/* Until the command has ended, or is to end; false then. */
static bool wait_for_end(int *how)
{
    for (;;) {
        struct pollfd waits[] = {{.fd = SUPERVISE_SOCKET, .events = POLLIN},
                                 {.fd = deaths, .events = POLLIN}};
        struct signalfd_siginfo told;
        if (poll(waits, 2, -1) < 0)
            continue;
        if (waits[1].revents && read(deaths, &told, sizeof told) > 0 && has_ended(how))
            return true;
        if (waits[0].revents && hear() == SUPERVISE_KILL)
            return false;
    }
}

static void supervise(void)
{
    struct pollfd socket = {.fd = SUPERVISE_SOCKET, .events = POLLIN};
    int how = SIGKILL;

    if (!wait_for_end(&how)) {
        for (double begun = mf_seconds(); !has_ended(&how) && mf_seconds() - begun < GIVE_UP;) {
            kill_round();
            wait_for_death(LOOK_EVERY);
        }
    }
    tell(SUPERVISE_ENDED, how);
    while (!alone && hear() != SUPERVISE_FORGOTTEN)
        poll(&socket, 1, -1);
    end_all();
}

int main(int argc, char **argv)
{
    volatile int failed = 0;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t every, before, child;

    if (argc < 3 || nothing < 0)
        return 2;
    fcntl(SUPERVISE_SOCKET, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, SIG_DFL);
    /* What stops, interrupts or ends a whole job does not end this process before its command. */
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, &before);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    deaths = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    group = command = start(argv + 2, argv[1], &before, &failed);
    if (command < 0 || failed || deaths < 0) {
        tell(SUPERVISE_FAILED, failed ? failed : errno);
        return 1;
    }
    dup2(nothing, 1); /* its pipe is the command's alone */
    dup2(nothing, 2);
    tell(SUPERVISE_STARTED, command);
    supervise();
    return 0;
}
