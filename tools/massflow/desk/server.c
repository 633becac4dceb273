/* server.c - HTTP by libmicrohttpd: a thread for each connection; what is wrong with a request is
 * refused before its body is read. Handlers are found by routes.c. */
#include "parts.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE 60             /* seconds until a connection that says nothing is closed */
#define HEADERS (24 * 1024) /* bytes of a connection for its headers */
#define PIECE 4096          /* of a stream */

/* Scripts, styles and data are this desk's own, and nobody may show the page inside another. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value);
}

static ssize_t give(void *self, uint64_t at, char *to, size_t room)
{
    desk_reply *r = self;
    size_t size = r->read(r->self, to, room);

    (void)at;
    return size ? (ssize_t)size : MHD_CONTENT_READER_END_OF_STREAM;
}

static void end_stream(void *self)
{
    desk_reply *r = self;

    desk_reply_clear(r);
    free(r);
}

/* Takes over what is in r. */
static struct MHD_Response *respond(desk_reply *r)
{
    struct MHD_Response *response;

    if (r->read) {
        desk_reply *kept = malloc(sizeof *kept);
        if (!kept)
            return NULL;
        *kept = *r;
        response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, give, kept, end_stream);
        if (!response) {
            free(kept);
            return NULL;
        }
        memset(r, 0, sizeof *r);
        r->status = kept->status;
        r->type = kept->type;
        return response;
    }
    response = MHD_create_response_from_buffer(
        r->size, r->bytes, r->fixed ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (response)
        r->bytes = NULL;
    return response;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, desk_reply *r)
{
    struct MHD_Response *response = respond(r);
    char text[512];

    if (!response) {
        desk_reply_clear(r);
        return MHD_NO;
    }
    add(response, "Content-Type", r->type ? r->type : "text/plain; charset=utf-8");
    add(response, "Cache-Control", r->lasting ? "private, max-age=86400, immutable" : "no-store");
    add(response, "Content-Security-Policy", policy);
    add(response, "X-Content-Type-Options", "nosniff");
    add(response, "X-Frame-Options", "DENY");
    add(response, "Referrer-Policy", "no-referrer");
    add(response, "Cross-Origin-Resource-Policy", "same-origin");
    add(response, "Cross-Origin-Opener-Policy", "same-origin");
    if (r->location)
        add(response, "Location", r->location);
    if (r->cookie)
        add(response, "Set-Cookie", r->cookie);
    if (r->download) {
        snprintf(text, sizeof text, "attachment; filename=\"%.400s\"", r->download);
        add(response, "Content-Disposition", text);
    }
    enum MHD_Result result = MHD_queue_response(connection, r->status, response);
    MHD_destroy_response(response);
    desk_reply_clear(r);
    return result;
}

static void say(desk_reply *r, unsigned status, const char *text)
{
    desk_reply_static(r, "text/plain; charset=utf-8", text, strlen(text));
    r->status = status;
}

/* The page itself, with the token in a cookie from now on and out of the address. */
static void enter(const desk_request *q, desk_reply *r)
{
    say(r, MHD_HTTP_SEE_OTHER, "");
    r->location = strdup("/");
    if (asprintf(&r->cookie, "%s=%s; Path=/; HttpOnly; SameSite=Strict", q->desk->cookie,
                 q->desk->token) < 0)
        r->cookie = NULL;
}

/* True: it is refused, or answered, by now. */
static bool at_gate(const desk_request *q, desk_reply *r)
{
    switch (desk_gate_check(q)) {
    case DESK_OPEN:
        return false;
    case DESK_ENTER:
        enter(q, r);
        return true;
    case DESK_NO_TOKEN:
        say(r, MHD_HTTP_FORBIDDEN,
            "massflow desk: open the address that the command printed; it has a token at its "
            "end.\n");
        return true;
    case DESK_NO_HOST:
        say(r, MHD_HTTP_MISDIRECTED_REQUEST,
            "massflow desk: it does not answer under this name. Use the address that the command "
            "printed.\n");
        return true;
    default:
        say(r, MHD_HTTP_FORBIDDEN, "massflow desk: a page of another site may not ask this.\n");
        return true;
    }
}

static bool read_body(desk_request *q, desk_reply *r)
{
    struct json_tokener *reader;

    if (!q->post)
        return true;
    reader = json_tokener_new_ex(16);
    if (reader && q->size)
        q->parsed = json_tokener_parse_ex(reader, q->body, (int)q->size);
    if (reader && json_tokener_get_parse_end(reader) != q->size) {
        json_object_put(q->parsed);
        q->parsed = NULL;
    }
    json_tokener_free(reader);
    if (json_object_is_type(q->parsed, json_type_object))
        return true;
    desk_reply_error(r, mf_fail(MF_INVALID, "the body of a request is one JSON object"));
    return false;
}

static void answer(desk_request *q, desk_reply *r)
{
    bool known;
    const desk_route *route = desk_route_find(q->post ? "POST" : "GET", q->path, &known);
    mf_status status;

    if (!route && !q->post && desk_asset(q->path, r))
        return;
    if (!route) {
        say(r, known ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND,
            known ? "massflow desk: not by this method.\n" : "massflow desk: nothing is here.\n");
        return;
    }
    if (!read_body(q, r))
        return;
    q->rest = q->path + strlen(route->path);
    status = route->answer(q, r);
    if (!status && !r->status)
        status = mf_fail(MF_INTERNAL, "%s has no answer", q->path);
    if (status)
        desk_reply_error(r, status);
}

/* Of a POST: its length is known and small, and it is JSON, which a form of another site can't
 * send. */
static bool fits(const desk_request *q, desk_reply *r)
{
    const char *length =
        MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Content-Length");
    const char *type = MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Content-Type");
    char *end;

    if (!q->post)
        return true;
    if (!type || strncmp(type, "application/json", 16)) {
        say(r, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "massflow desk: a request is application/json.\n");
        return false;
    }
    if (!length) {
        say(r, MHD_HTTP_LENGTH_REQUIRED, "massflow desk: a request states its length.\n");
        return false;
    }
    if (strtoull(length, &end, 10) > DESK_MOST_BODY || *end) {
        say(r, MHD_HTTP_CONTENT_TOO_LARGE, "massflow desk: the request is too large.\n");
        return false;
    }
    return true;
}

static enum MHD_Result begin(desk *d, struct MHD_Connection *connection, const char *path,
                             const char *method, void **self)
{
    desk_request *q = calloc(1, sizeof *q);
    desk_reply r = {0};

    if (!q)
        return MHD_NO;
    *self = q;
    q->desk = d;
    q->connection = connection;
    q->path = path;
    q->rest = "";
    q->post = !strcmp(method, "POST");
    if (!q->post && strcmp(method, "GET"))
        say(&r, MHD_HTTP_METHOD_NOT_ALLOWED, "massflow desk: GET and POST alone.\n");
    else if (!at_gate(q, &r) && fits(q, &r))
        return MHD_YES;
    return send_reply(connection, &r);
}

static enum MHD_Result gather(desk_request *q, const char *data, size_t *size)
{
    char *grown = q->size + *size <= DESK_MOST_BODY ? realloc(q->body, q->size + *size + 1) : NULL;

    if (!grown)
        return MHD_NO;
    q->body = grown;
    memcpy(q->body + q->size, data, *size);
    q->size += *size;
    q->body[q->size] = 0;
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request)
{
    desk_request *q = *request;
    desk_reply r = {0};

    (void)version;
    if (!q)
        return begin(self, connection, path, method, request);
    if (*size)
        return gather(q, data, size);
    q->path = path;
    answer(q, &r);
    return send_reply(connection, &r);
}

static void on_end(void *self, struct MHD_Connection *connection, void **request,
                   enum MHD_RequestTerminationCode why)
{
    desk_request *q = *request;

    (void)self;
    (void)connection;
    (void)why;
    if (!q)
        return;
    free(q->body);
    json_object_put(q->parsed);
    free(q);
    *request = NULL;
}

/* ---- listening ------------------------------------------------------------------------------- */

static mf_status bind_to(const desk *d, const struct addrinfo *at, int *fd)
{
    int yes = 1;

    *fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return mf_fail(MF_IO, "no socket: %m");
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (!bind(*fd, at->ai_addr, at->ai_addrlen) && !listen(*fd, 32))
        return MF_OK;
    mf_status status = mf_hint(mf_fail(MF_IO, "can't listen at %s, port %u: %m", d->host, d->port),
                               "choose another port with --port; 0 is any that is free");
    close(*fd);
    *fd = -1;
    return status;
}

static mf_status open_socket(desk *d, int *fd)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char port[8];

    snprintf(port, sizeof port, "%u", d->port);
    int why = getaddrinfo(d->host, port, &hints, &found);
    if (why)
        return mf_fail(MF_INVALID, "--listen: no address of '%s': %s", d->host, gai_strerror(why));
    mf_status status = bind_to(d, found, fd);
    freeaddrinfo(found);
    MF_TRY(status);
    if (getsockname(*fd, (struct sockaddr *)&at, &size))
        return mf_fail(MF_IO, "no port: %m");
    d->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                             : ((struct sockaddr_in *)&at)->sin_port);
    return MF_OK;
}

/* What MHD has to say of clients that break off is nothing for the terminal. */
static void quiet(void *self, const char *format, va_list more)
{
    (void)self;
    (void)format;
    (void)more;
}

mf_status desk_server_open(desk *d)
{
    int fd = -1;

    MF_TRY(open_socket(d, &fd));
    if (asprintf(&d->cookie, "massflow-desk-%u", d->port) < 0) {
        d->cookie = NULL;
        close(fd);
        return mf_no_memory(0, "the desk");
    }
    d->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, d, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)DESK_MOST_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (d->daemon)
        return MF_OK;
    close(fd);
    return mf_fail(MF_IO, "the HTTP server could not be started");
}

void desk_server_close(desk *d)
{
    hub_close(d->hub);
    if (d->daemon)
        MHD_stop_daemon(d->daemon);
    d->daemon = NULL;
}
