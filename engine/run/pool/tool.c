/* tool.c - see tool.h. */
#include "run/pool/tool.h"

#include "base/arena.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_OUTPUT ((size_t)16 << 20)
#define MOST_ERROR ((size_t)64 << 10)
#define SHOWN_ERROR 1000 /* bytes of it in an error */

extern char **environ;

/* Of the job that this process may be in: they would be taken for arguments of the new one. */
static bool of_a_job(const char *variable)
{
    return !strncmp(variable, "SLURM_", 6) && strncmp(variable, "SLURM_CONF=", 11) &&
           strncmp(variable, "SLURM_CLUSTERS=", 15);
}

static const char **environment(const char *const *extra)
{
    size_t count = 0, kept = 0;
    for (char **v = environ; *v; v++)
        count++;
    for (const char *const *v = extra; v && *v; v++)
        count++;
    const char **all = calloc(count + 2, sizeof *all);
    if (!all)
        return NULL;
    for (char **v = environ; *v; v++)
        if (!of_a_job(*v) && strncmp(*v, "LC_ALL=", 7))
            all[kept++] = *v;
    all[kept++] = "LC_ALL=C"; /* what is printed is read */
    for (const char *const *v = extra; v && *v; v++)
        all[kept++] = *v;
    return all;
}

static int spawn_with(const char *const *words, const char *const *extra, int out, int err,
                      pid_t *pid)
{
    static const int reset[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ, SIGTSTP};
    const char **variables = environment(extra);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    if (!variables)
        return ENOMEM;
    sigemptyset(&none);
    sigemptyset(&usual);
    for (size_t i = 0; i < sizeof reset / sizeof *reset; i++)
        sigaddset(&usual, reset[i]);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    int failed =
        posix_spawnp(pid, words[0], &files, &how, (char *const *)words, (char *const *)variables);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    free(variables);
    return failed;
}

static mf_status cannot_start(const char *name, int failed)
{
    mf_status status =
        mf_fail(failed == ENOENT ? MF_NOT_FOUND : MF_IO, "'%s' could not be started: %s", name,
                failed == ENOENT ? "there is no such program on this host" : strerror(failed));
    return failed == ENOENT ? mf_hint(status, "PATH says where programs are looked for") : status;
}

/* Reads what there is; false at the end of the file. What goes beyond `most` is passed over. */
static bool drain(int file, mf_text *text, size_t most)
{
    char buffer[16384];
    ssize_t got = read(file, buffer, sizeof buffer);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    size_t room = most > text->length ? most - text->length : 0;
    mf_text_add_n(text, buffer, (size_t)got < room ? (size_t)got : room);
    return got > 0;
}

/* Until both pipes have ended or the time is over; false then. */
static bool collect(int out, int err, double until, mf_text *output, mf_text *errors)
{
    struct pollfd files[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
    while (files[0].fd >= 0 || files[1].fd >= 0) {
        double left = until - mf_seconds();
        if (left <= 0)
            return false;
        int ready = poll(files, 2, (int)(left * 1e3) + 1);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0)
            continue;
        if (files[0].revents && !drain(out, output, MOST_OUTPUT))
            files[0].fd = -1;
        if (files[1].revents && !drain(err, errors, MOST_ERROR))
            files[1].fd = -1;
    }
    return true;
}

static int exit_code(int how)
{
    return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

/* "'sbatch' failed: what it said", its lines in one. */
static mf_status failed_with(const char *name, int code, const mf_text *errors)
{
    char said[SHOWN_ERROR + 1];
    size_t length = errors->length < SHOWN_ERROR ? errors->length : SHOWN_ERROR;
    memcpy(said, errors->data ? errors->data : "", length);
    while (length && strchr(" \n\r\t", said[length - 1]))
        length--;
    said[length] = 0;
    for (char *c = said; *c; c++)
        if ((unsigned char)*c < 32)
            *c = ' ';
    if (!*said)
        return mf_fail(MF_IO, "'%s' ended with exit status %d", name, code);
    return mf_fail(MF_IO, "'%s' failed: %s", name, said);
}

/* The exit status, of a program whose pipes have ended. It is killed when the time is over. */
static bool wait_for(pid_t pid, double until, int *code)
{
    bool in_time = true;
    while (!mf_tool_ended(pid, code)) {
        if (in_time && mf_seconds() >= until) {
            in_time = false;
            kill(-pid, SIGKILL);
        }
        poll(NULL, 0, 10);
    }
    return in_time;
}

mf_status mf_tool_run(const char *const *words, const char *const *extra, double seconds,
                      char **output)
{
    int out[2], err[2], code = 0;
    mf_text text = {0}, errors = {0};
    double until = mf_seconds() + seconds;
    pid_t pid;
    *output = NULL;
    if (pipe2(out, O_CLOEXEC))
        return mf_fail(MF_IO, "'%s' could not be started: %s", words[0], strerror(errno));
    if (pipe2(err, O_CLOEXEC)) {
        close(out[0]);
        close(out[1]);
        return mf_fail(MF_IO, "'%s' could not be started: %s", words[0], strerror(errno));
    }
    int failed = spawn_with(words, extra, out[1], err[1], &pid);
    close(out[1]);
    close(err[1]);
    mf_status status = failed ? cannot_start(words[0], failed) : MF_OK;
    if (!failed) {
        bool whole = collect(out[0], err[0], until, &text, &errors);
        if (!wait_for(pid, whole ? until : 0, &code))
            status = mf_fail(MF_IO, "'%s' took longer than %.0f s", words[0], seconds);
        else if (code)
            status = failed_with(words[0], code, &errors);
    }
    close(out[0]);
    close(err[0]);
    free(errors.data);
    if (status)
        free(text.data);
    else
        *output = mf_text_take(&text);
    return status;
}

mf_status mf_tool_start(const char *const *words, const char *const *extra, const char *log,
                        pid_t *pid)
{
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0)
        return mf_fail(MF_IO, "cannot write %s: %s", log, strerror(errno));
    int failed = spawn_with(words, extra, file, file, pid);
    close(file);
    return failed ? cannot_start(words[0], failed) : MF_OK;
}

bool mf_tool_ended(pid_t pid, int *code)
{
    int how;
    pid_t ended = waitpid(pid, &how, WNOHANG);
    if (ended < 0 && errno == EINTR)
        return false;
    if (ended == pid)
        *code = exit_code(how);
    else if (ended < 0)
        *code = 0; /* somebody else has waited for it */
    return ended != 0;
}

void mf_tool_end(pid_t pid, double seconds)
{
    double until = mf_seconds() + seconds;
    int code;
    kill(-pid, SIGTERM);
    while (!mf_tool_ended(pid, &code)) {
        if (mf_seconds() >= until)
            kill(-pid, SIGKILL);
        poll(NULL, 0, 10);
    }
}
