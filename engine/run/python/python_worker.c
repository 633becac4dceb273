/* python_worker.c - the processes of a Python file: started, kept between nodes, ended.
 *
 * A worker first says DONE: a status, and its description. From then on it gets START and says DONE
 * for each node; python_run.c has what lies between. It ends when its socket is closed, also where
 * massflow was killed. */
#include "run/python/python_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET 3 /* of the worker */

extern char **environ;

static const char *interpreter(void)
{
    const char *named = getenv("MASSFLOW_PYTHON");

    return named && *named ? named : "python3";
}

/* What it prints before it runs a node, such as an error of the interpreter, is for people. */
static int spawn(const char *file, int socket, pid_t *pid)
{
    char *arguments[] = {(char *)interpreter(), "-m", "massflow._worker", (char *)file, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;

    sigemptyset(&none);
    sigemptyset(&usual);
    for (int number = 1; number < 32; number++)
        sigaddset(&usual, number);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_adddup2(&files, socket, SOCKET);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 2, 1);
    posix_spawn_file_actions_addclosefrom_np(&files, SOCKET + 1);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                       POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    int failed = posix_spawnp(pid, arguments[0], &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

/* The status that it begins with, and its description for free(). */
static mf_status hear_description(mf_python *python, mf_python_worker *w, char **description)
{
    mf_packet packet;
    bool over;
    const char *said;

    *description = NULL;
    mf_status status = mf_wire_receive(w->socket, &packet, &over);
    if (!status && over)
        status = mf_hint(
            mf_fail(MF_NOT_FOUND, "%s ended before it had read %s", interpreter(), python->file),
            "it must have the package massflow (pip install tools/python) and numpy; "
            "MASSFLOW_PYTHON names another Python");
    if (!status && packet.kind != MF_WIRE_DONE)
        status = mf_fail(MF_INTERNAL, "a worker of %s does not begin as it should", python->file);
    if (!status)
        status = mf_within(mf_packet_get_status(&packet), "%s", python->file);
    if (!status) {
        said = mf_packet_get_text(&packet);
        status = mf_packet_check(&packet);
        *description = !status && said ? strdup(said) : NULL;
        if (!status && !*description)
            status = mf_no_memory(0, "a plugin");
    }
    mf_packet_clear(&packet);
    return status;
}

static mf_status compare(mf_python *python, char *description)
{
    pthread_mutex_lock(&python->lock);
    bool first = !python->description;
    bool same = first || !strcmp(python->description, description);
    if (first)
        python->description = description;
    pthread_mutex_unlock(&python->lock);
    if (!first)
        free(description);
    return same ? MF_OK
                : mf_hint(mf_fail(MF_INVALID, "%s has changed since its stages were read",
                                  python->file),
                          "run the graph again");
}

static mf_status start(mf_python *python, mf_python_worker *w)
{
    int ends[2];
    char *description;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return mf_fail(MF_IO, "no socket for a worker of %s: %s", python->file, strerror(errno));
    /* Its place in the new process is another one than here, so that it is left open there. */
    int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, SOCKET + 1);
    close(ends[1]);
    int failed = theirs < 0 ? errno : spawn(python->file, theirs, &w->pid);
    if (theirs >= 0)
        close(theirs);
    w->socket = ends[0];
    if (failed) {
        w->pid = 0;
        return mf_hint(
            mf_fail(MF_NOT_FOUND, "%s can't be started: %s", interpreter(), strerror(failed)),
            "MASSFLOW_PYTHON names the Python for the stages of %s", python->file);
    }
    MF_TRY(hear_description(python, w, &description));
    return compare(python, description);
}

mf_status mf__python_acquire(mf_python *python, mf_python_worker **worker)
{
    pthread_mutex_lock(&python->lock);
    mf_python_worker *w = python->idle;
    if (w)
        python->idle = w->next;
    pthread_mutex_unlock(&python->lock);
    *worker = w;
    if (w)
        return MF_OK;
    w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "a worker");
    w->socket = -1;
    mf_status status = start(python, w);
    if (status)
        free(mf__python_end(w));
    else
        *worker = w;
    return status;
}

void mf__python_give_back(mf_python *python, mf_python_worker *worker)
{
    pthread_mutex_lock(&python->lock);
    worker->next = python->idle;
    python->idle = worker;
    pthread_mutex_unlock(&python->lock);
}

char *mf__python_end(mf_python_worker *w)
{
    char *words = NULL;
    int how = 0;

    if (w->socket >= 0)
        close(w->socket);
    if (w->pid > 0) {
        /* One that has closed its socket ends by itself: how it does is what people want to know.
         */
        pid_t gone = 0;
        for (int tries = 0; tries < 50 && gone == 0; tries++) {
            gone = waitpid(w->pid, &how, WNOHANG);
            if (gone == 0)
                usleep(2000);
        }
        kill(-w->pid, SIGKILL);
        if (gone == w->pid && WIFSIGNALED(how)) {
            if (asprintf(&words, "was killed by %s", strsignal(WTERMSIG(how))) < 0)
                words = NULL;
        } else if (gone == w->pid) {
            if (asprintf(&words, "ended with exit status %d", WEXITSTATUS(how)) < 0)
                words = NULL;
        }
        while (gone == 0 && waitpid(w->pid, &how, 0) < 0 && errno == EINTR)
            continue;
    }
    free(w);
    return words;
}
