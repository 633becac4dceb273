/* marked.c - see marked.h. */
#include "run/process/marked.h"
#include "store/process.h"

#include <massflow/stage.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_ENVIRONMENT ((size_t)1 << 20) /* bytes that are looked at */
#define MOST_ROUNDS 200                    /* of 5 ms; what waits for a disk does not end sooner */

void mf_mark_new(char mark[MF_MARK_SIZE])
{
    static atomic_int count;
    mf_process self;

    mf_process_self(&self);
    snprintf(mark, MF_MARK_SIZE, MF_WORKER_MARK "=%lld-%lld-%d", (long long)self.pid,
             (long long)self.start, atomic_fetch_add(&count, 1));
}

/* Whether one of the texts that end with a NUL is the mark. */
static bool holds(const char *bytes, size_t size, const char *mark)
{
    size_t length = strlen(mark) + 1;

    for (const char *at = bytes, *end = bytes + size; at + length <= end;) {
        const char *next = memchr(at, 0, (size_t)(end - at));
        if (!next)
            return false;
        if ((size_t)(next + 1 - at) == length && !memcmp(at, mark, length))
            return true;
        at = next + 1;
    }
    return false;
}

/* The environment of an ended process cannot be read, that of another user's neither. */
static bool is_marked(int proc, const char *name, char *room, const char *mark)
{
    char path[300];
    size_t size = 0;
    ssize_t got = 1;

    snprintf(path, sizeof path, "%s/environ", name);
    int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    while (got > 0 && size < MOST_ENVIRONMENT) {
        got = read(file, room + size, MOST_ENVIRONMENT - size);
        size += got > 0 ? (size_t)got : 0;
    }
    close(file);
    return holds(room, size, mark);
}

/* How many were found and killed. */
static int end_round(const char *mark, char *room)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    int found = 0;

    while (folder && (entry = readdir(folder))) {
        char *rest;
        long pid = strtol(entry->d_name, &rest, 10);
        if (pid <= 1 || *rest || pid == getpid() ||
            !is_marked(dirfd(folder), entry->d_name, room, mark))
            continue;
        found++;
        kill((pid_t)pid, SIGKILL);
    }
    if (folder)
        closedir(folder);
    return found;
}

void mf_mark_end(const char *mark)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    char *room = malloc(MOST_ENVIRONMENT);

    for (int i = 0; room && i < MOST_ROUNDS && end_round(mark, room); i++)
        nanosleep(&pause, NULL);
    free(room);
}
