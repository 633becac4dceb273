/* address.c - see address.h. */
#include "run/remote/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

mf_status mf_address_connect(const char *where, int *out)
{
    char *text = strdup(where), *colon = text ? strrchr(text, ':') : NULL, *host = text;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *a;
    mf_status status = MF_OK;
    int why;

    *out = -1;
    if (!text)
        return mf_no_memory(0, "an address");
    if (!colon || colon == text || !colon[1]) {
        free(text);
        return mf_fail(MF_INVALID, "'%s' is not HOST:PORT", where);
    }
    *colon = 0;
    if (*host == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        host++;
    }
    why = getaddrinfo(host, colon + 1, &hints, &found);
    free(text);
    if (why)
        return mf_fail(MF_IO, "cannot reach %s: %s", where, gai_strerror(why));
    for (a = found; a && *out < 0; a = a->ai_next) {
        *out = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (*out >= 0 && connect(*out, a->ai_addr, a->ai_addrlen) != 0) {
            int failed = errno;
            close(*out);
            *out = -1;
            errno = failed;
        }
    }
    if (*out < 0)
        status = mf_fail(MF_IO, "cannot reach %s: %s", where, strerror(errno));
    freeaddrinfo(found);
    return status;
}

static void set_port(struct sockaddr_storage *a, in_port_t port)
{
    if (a->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)a)->sin6_port = port;
    else
        ((struct sockaddr_in *)a)->sin_port = port;
}

static bool listen_at(int socket, struct sockaddr_storage *a, socklen_t size, char where[96])
{
    char host[64], port[8];

    if (bind(socket, (struct sockaddr *)a, size) || listen(socket, 128) ||
        getsockname(socket, (struct sockaddr *)a, &size) ||
        getnameinfo((struct sockaddr *)a, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return false;
    snprintf(where, 96, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return true;
}

mf_status mf_address_listen_beside(int connected, int *out, char where[96])
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;

    *out = -1;
    if (getsockname(connected, (struct sockaddr *)&a, &size))
        return mf_fail(MF_IO, "cannot listen: %s", strerror(errno));
    set_port(&a, 0);
    *out = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*out >= 0 && listen_at(*out, &a, size, where))
        return MF_OK;
    mf_status status = mf_fail(MF_IO, "cannot listen for other workers: %s", strerror(errno));
    if (*out >= 0)
        close(*out);
    *out = -1;
    return status;
}

bool mf_address_is_loopback(const char *where)
{
    return !strncmp(where, "127.", 4) || !strncmp(where, "[::1]", 5) ||
           !strncmp(where, "[::ffff:127.", 12);
}
