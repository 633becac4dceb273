/* masks_read.c - see masks_read.h. */
#include "masks_read.h"
#include "../common/beside.h"
#include "read/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "massflow-hdf5"
#define LOOK_EVERY 50 /* ms between looks for a stop */

/* A process that reads, and what it says. */
typedef struct reader {
    const masks_source *source;
    pid_t pid;
    int pipe;
    bool gone; /* it has closed its side */
} reader;

static mf_status start(reader *r)
{
    const masks_source *s = r->source;
    char sizes[3][24];
    int pipes[2];
    for (int i = 0; i < 3; i++)
        snprintf(sizes[i], sizeof sizes[i], "%" PRId64, s->size[i]);
    char *const words[] = {
        (char *)PROGRAM, (char *)s->path, (char *)s->group, sizes[0], sizes[1], sizes[2], NULL};
    if (pipe2(pipes, O_CLOEXEC))
        return mf_fail(MF_IO, "%s: cannot be read: %s", s->path, strerror(errno));
    char *beside = s->program ? NULL : beside_module(PROGRAM);
    const char *program = s->program ? s->program : beside ? beside : PROGRAM;
    int failed = beside_start(program, words, -1, pipes[1], &r->pid);
    mf_status status = MF_OK;
    close(pipes[1]);
    r->pipe = pipes[0];
    if (failed) {
        close(pipes[0]);
        status = mf_hint(mf_fail(MF_NOT_FOUND, "%s: cannot be read: %s cannot be started: %s",
                                 s->path, program, strerror(failed)),
                         "it is a part of massflow: build or install massflow again");
    }
    free(beside);
    return status;
}

/* Returns how it ended. */
static int end(reader *r, bool at_once)
{
    int how = 0;
    if (at_once)
        kill(r->pid, SIGKILL);
    close(r->pipe);
    while (waitpid(r->pid, &how, 0) < 0 && errno == EINTR)
        ;
    return how;
}

/* Why it ended in the midst. */
static mf_status ended(const masks_source *s, int how)
{
    int number = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    const char *known = number ? sigabbrev_np(number) : NULL;
    if (number == SIGXCPU)
        return mf_fail(MF_CORRUPT,
                       "%s: the masks of %s were not read within the processor time that is enough "
                       "for their size; the file is damaged",
                       s->path, s->group);
    if (number == SIGKILL || number == SIGTERM)
        return mf_fail(MF_IO, "%s: the process that reads it was killed by signal %d (SIG%s)",
                       s->path, number, known ? known : "?");
    if (number)
        return mf_fail(MF_CORRUPT,
                       "%s: the process that reads it ended by signal %d (SIG%s); the file is "
                       "damaged",
                       s->path, number, known ? known : "?");
    return mf_fail(MF_IO, "%s: the process that reads it ended with exit status %d", s->path,
                   WEXITSTATUS(how));
}

/* Receives `size` bytes, unless the other side has ended. */
static mf_status get(reader *r, void *to, size_t size)
{
    size_t done = 0;
    while (done < size && !r->gone) {
        struct pollfd wait = {.fd = r->pipe, .events = POLLIN};
        if (poll(&wait, 1, LOOK_EVERY) <= 0) {
            if (r->source->stop)
                MF_TRY(r->source->stop(r->source->of));
            continue;
        }
        ssize_t n = read(r->pipe, (char *)to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        r->gone = n <= 0;
        done += n > 0 ? (size_t)n : 0;
    }
    return MF_OK;
}

static mf_status no_answer(const masks_source *s)
{
    return mf_fail(MF_CORRUPT,
                   "%s: the process that reads it gave an answer that is none; the "
                   "file is damaged",
                   s->path);
}

/* Words as far as they are printable: damage may have reached them. */
static void clean(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
}

static mf_status refused(reader *r, const answer *a)
{
    char text[ANSWER_TEXT + 1] = "", hint[ANSWER_TEXT + 1] = "";
    if (a->bytes > ANSWER_TEXT || a->hint > ANSWER_TEXT)
        return no_answer(r->source);
    MF_TRY(get(r, text, a->bytes));
    MF_TRY(get(r, hint, a->hint));
    clean(text);
    clean(hint);
    return mf_hint(mf_fail(MF_CORRUPT, "%s: %s", r->source->path, text), "%s", hint);
}

static mf_status next_answer(reader *r, answer *a)
{
    *a = (answer){0};
    MF_TRY(get(r, a, sizeof *a));
    if (r->gone)
        return MF_OK;
    if (a->mark != ANSWER_MARK || a->masks < 0 || a->masks > ANSWER_MOST_MASKS)
        return no_answer(r->source);
    return a->failed ? refused(r, a) : MF_OK;
}

static mf_status take_all(reader *r, masks_take take, void *self, uint8_t *dense, size_t bytes,
                          int64_t *count)
{
    answer a;
    MF_TRY(next_answer(r, &a));
    *count = a.masks;
    for (int64_t i = 0; i < *count && !r->gone; i++) {
        MF_TRY(next_answer(r, &a));
        MF_TRY(get(r, dense, bytes));
        if (!r->gone)
            MF_TRY(take(self, dense));
    }
    return MF_OK;
}

mf_status masks_read(const masks_source *s, masks_take take, void *self, int64_t *count)
{
    reader r = {.source = s};
    size_t bytes = 1;
    *count = 0;
    for (int i = 0; i < 3; i++)
        if (!mf_size_mul(bytes, (size_t)s->size[i], &bytes))
            return mf_fail(MF_CORRUPT, "%s: masks of more voxels than can be counted", s->path);
    uint8_t *dense = malloc(bytes ? bytes : 1);
    if (!dense)
        return mf_no_memory(bytes, "a mask");
    mf_status status = start(&r);
    if (!status) {
        status = take_all(&r, take, self, dense, bytes, count);
        int how = end(&r, status != MF_OK);
        if (!status && r.gone)
            status = ended(s, how);
    }
    free(dense);
    return status;
}
