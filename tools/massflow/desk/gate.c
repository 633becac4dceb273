/* gate.c - who may ask: the token, and the names by which a browser may know this desk.
 *
 * The token keeps out other users of the machine and pages of other sites. Host keeps out a site
 * whose name is made to point here (DNS rebinding): only names of this machine and plain addresses,
 * which nobody can redirect, are answered. Origin keeps a page of another site, or of another
 * port of this host, from acting with the cookie that the browser adds. */
#include "base/arena.h"
#include "parts.h"
#include "run/remote/secret.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

mf_status desk_gate_token(char token[DESK_TOKEN + 1])
{
    uint8_t bytes[MF_SECRET_BYTES];

    MF_TRY(mf_secret_random(bytes));
    for (size_t i = 0; i < MF_SECRET_BYTES; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return MF_OK;
}

static const char *header(const desk_request *q, const char *name)
{
    return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

static bool is_token(const desk_request *q, const char *text)
{
    return text && strlen(text) == DESK_TOKEN &&
           mf_secret_same((const uint8_t *)text, (const uint8_t *)q->desk->token, DESK_TOKEN);
}

/* "127.0.0.1:8080", "[::1]:8080", "localhost": the name alone. */
static bool host_name(const char *host, char name[256])
{
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    size_t length;

    if (*host == '[' && !end)
        return false;
    host += *host == '[';
    length = end ? (size_t)(end - host) : strlen(host);
    if (!length || length > 255)
        return false;
    memcpy(name, host, length);
    name[length] = 0;
    return true;
}

static bool is_ours(const desk *d, const char *host)
{
    char name[256], own[256] = "";
    unsigned char address[sizeof(struct in6_addr)];

    if (!host || !host_name(host, name))
        return false;
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return true;
    if (gethostname(own, sizeof own - 1))
        own[0] = 0;
    return !strcasecmp(name, "localhost") || !strcasecmp(name, d->host) ||
           (*own && !strcasecmp(name, own));
}

/* A browser sends Origin with each POST; programs, which have no cookie of somebody else, do not.
 */
static bool is_same_origin(const desk_request *q)
{
    const char *origin = header(q, "Origin"), *host = header(q, "Host");
    const char *site = header(q, "Sec-Fetch-Site");

    if (site && strcmp(site, "same-origin") && (strcmp(site, "none") || q->post))
        return false;
    return !origin || (!strncmp(origin, "http://", 7) && !strcasecmp(origin + 7, host));
}

desk_gate desk_gate_check(const desk_request *q)
{
    const char *bearer = header(q, "Authorization");
    bool by_cookie =
        is_token(q, MHD_lookup_connection_value(q->connection, MHD_COOKIE_KIND, q->desk->cookie));
    bool by_header = bearer && !strncmp(bearer, "Bearer ", 7) && is_token(q, bearer + 7);
    const char *origin = header(q, "Origin");

    if (!is_ours(q->desk, header(q, "Host")))
        return DESK_NO_HOST;
    /* Whoever follows the address comes from a terminal, a mail or another page. */
    if (!q->post && !strcmp(q->path, "/") && !origin &&
        is_token(q, MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, "token")))
        return DESK_ENTER;
    if (!by_cookie && !by_header)
        return DESK_NO_TOKEN;
    if (!is_same_origin(q) || (q->post && !by_header && !origin))
        return DESK_NO_ORIGIN;
    return DESK_OPEN;
}
