/* messages.c - preloaded into a worker (massflow worker --connect), does something at one of the
 * messages that it sends or hears over TCP: MASSFLOW_MESSAGE is "WHAT SIDE NUMBER", counted from 1.
 *
 * WHAT: kill (SIGKILL before it), half (half of it, then SIGKILL; of one that is heard: after
 * half), cut (half of it, then the connection is closed), flip (a bit of it is another one). SIDE:
 * out, in. At each message it leaves both counts in the file MASSFLOW_MESSAGE_COUNT. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int counts[2]; /* out, in */

/* The connection to the run alone. */
static bool is_tcp(int file)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    return getpeername(file, (struct sockaddr *)&address, &size) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

/* The word for this message; "" for all others. */
static const char *count(int side)
{
    static char word[16];
    const char *wish = getenv("MASSFLOW_MESSAGE"), *path = getenv("MASSFLOW_MESSAGE_COUNT");
    char name[8] = "", text[64];
    int at = 0, now = atomic_fetch_add(&counts[side], 1) + 1, file;

    if (path && (file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0) {
        int size = snprintf(text, sizeof text, "%06d %06d\n", atomic_load(&counts[0]),
                            atomic_load(&counts[1]));
        if (write(file, text, (size_t)size) != size)
            abort();
        close(file);
    }
    if (!wish || sscanf(wish, "%15s %7s %d", word, name, &at) != 3 || at != now ||
        strcmp(name, side ? "in" : "out"))
        return "";
    return word;
}

ssize_t send(int file, const void *bytes, size_t size, int how)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    const char *what = size && is_tcp(file) ? count(0) : "";
    ssize_t done;

    if (!real)
        real = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
    if (!strcmp(what, "kill"))
        kill(getpid(), SIGKILL);
    if (!strcmp(what, "flip")) {
        unsigned char *copy = malloc(size);
        if (!copy)
            abort();
        memcpy(copy, bytes, size);
        copy[size / 2] ^= 4;
        done = real(file, copy, size, how);
        free(copy);
        return done;
    }
    if (!*what)
        return real(file, bytes, size, how);
    done = real(file, bytes, size / 2, how);
    if (!strcmp(what, "half"))
        kill(getpid(), SIGKILL);
    shutdown(file, SHUT_RDWR);
    return done;
}

ssize_t recv(int file, void *bytes, size_t size, int how)
{
    static ssize_t (*real)(int, void *, size_t, int);
    const char *what;
    ssize_t done;

    if (!real)
        real = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    if (!size || !is_tcp(file))
        return real(file, bytes, size, how);
    done = real(file, bytes, size, how);
    what = done > 0 ? count(1) : "";
    if (!strcmp(what, "kill") || !strcmp(what, "half"))
        kill(getpid(), SIGKILL);
    if (!strcmp(what, "flip"))
        ((unsigned char *)bytes)[done / 2] ^= 4;
    if (!strcmp(what, "cut"))
        shutdown(file, SHUT_RDWR);
    return done;
}
