/* workers.c - the listener, the list of workers, and a thread that hears each. See workers.h. */
#include "run/remote/workers.h"
#include "store/check.h"

#include <massflow/memory.h>
#include <massflow/seconds.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_STRANGERS 64 /* connections that have not proved anything */
#define STRANGER_SECONDS 10.0
#define HELLO_SECONDS 10.0
#define TICK 200 /* ms */
#define MOST_WORKERS 4096
#define MOST_QUEUED ((size_t)256 << 20) /* bytes of a channel; who sends more does not ask */
#define LINES_A_MINUTE 20               /* about connections that were refused */

typedef struct heard {
    mf_frame frame;
    struct heard *next;
} heard;

typedef struct worker worker;

struct mf_channel {
    worker *worker;
    uint32_t number;
    mf_channel *next;
    heard *first, **last;
    size_t queued; /* bytes */
    int lines;     /* log lines among them */
    pthread_cond_t arrived;
};

struct worker {
    mf_workers *all;
    char name[128], from[64];
    mf_hello hello;
    double ends;
    mf_link *link;
    pthread_t thread;
    pthread_mutex_t lock;                /* of what follows */
    bool open, lost, leaving, dismissed; /* dismissed: it was told that it may go */
    bool closed;                         /* its socket, for it is lost and nobody uses it */
    mf_channel *channels;
    size_t running;
    bool refused; /* it said what makes no sense */
    uint32_t last_channel;
    bool cancel_due;
    mf_packet back; /* keys that it is to be asked for */
    mf__map known;  /* ids of artifacts that it has */
    mf__map made;   /* keys of results that it has, or is computing since before it joined */
    bool again;     /* it had joined before: its link was lost, not it */
};

typedef struct stranger {
    int socket;
    double since;
    char from[64];
    mf_handshake handshake;
} stranger;

/* A connection that has proved that it knows the token, until it says what it is. */
typedef struct joining {
    mf_workers *all;
    mf_link *link;
    char from[64];
} joining;

struct mf_workers {
    mf_workers_options options;
    char *address, *version;
    mf_spool *spool; /* or NULL */
    char bound[96];
    int socket, wake; /* wake: there is something to do */
    pthread_t thread;
    bool threaded;
    stranger strangers[MOST_STRANGERS];
    size_t stranger_count;
    double minute; /* when the lines were counted anew */
    int lines, unsaid;
    char why[256];        /* of mf_workers_cannot */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t calm;  /* nobody is joining */
    bool closing;
    int joining;
    bool any_made; /* some worker has said that it has made something */
    worker **list;
    size_t count;
    pthread_mutex_t watch_lock; /* of what follows; taken with no other one held */
    void (*changed)(void *self);
    void *changed_self;
};

static void say(mf_workers *all, const char *format, ...) MF_PRINTF(2, 3);
static void say(mf_workers *all, const char *format, ...)
{
    char line[512];
    va_list args;

    if (!all->options.tell)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    all->options.tell(all->options.self, line);
}

/* Somebody else decides how many there are of these: some are said, the rest is counted. */
static void say_refused(mf_workers *all, const char *from, const char *why)
{
    double now = mf_seconds();

    if (now - all->minute >= 60) {
        if (all->unsaid)
            say(all, "%d more connections were refused in the last minute", all->unsaid);
        all->minute = now;
        all->lines = all->unsaid = 0;
    }
    if (all->lines++ < LINES_A_MINUTE)
        say(all, "a connection from %s was refused: %s", from, why);
    else
        all->unsaid++;
}

static void tell_changed(mf_workers *all)
{
    pthread_mutex_lock(&all->watch_lock);
    if (all->changed)
        all->changed(all->changed_self); /* who stops watching is not called after that */
    pthread_mutex_unlock(&all->watch_lock);
}

static void wake(const mf_workers *all)
{
    uint64_t one = 1;

    if (write(all->wake, &one, sizeof one) < 0)
        return; /* it can be read already */
}

/* ---- one worker, heard ----------------------------------------------------------------------- */

static void drop_heard(mf_channel *c)
{
    for (heard *h = c->first, *next; h; h = next) {
        next = h->next;
        mf_packet_clear(&h->frame.body);
        free(h);
    }
    c->first = NULL;
    c->last = &c->first;
    c->queued = 0;
    c->lines = 0;
}

/* What a message takes while it waits: short ones cost more than what they say. */
static size_t cost_of(const mf_frame *f)
{
    return sizeof(heard) + f->body.room;
}

static bool is_too_much(const mf_channel *c, const mf_frame *f)
{
    return c->queued + cost_of(f) > MOST_QUEUED ||
           (f->kind == MF_LINK_LOG && c->lines > MF_LINK_LINES);
}

/* To the channel's queue; what is for a channel that is closed by now is dropped. */
static mf_status pass_on(worker *w, mf_frame *f)
{
    heard *h = malloc(sizeof *h);
    mf_channel *c;
    mf_status status = MF_OK;

    if (!h)
        return mf_no_memory(0, "a message");
    pthread_mutex_lock(&w->lock);
    for (c = w->channels; c && c->number != f->channel; c = c->next)
        ;
    if (c && is_too_much(c, f)) {
        status = mf_fail(MF_CORRUPT, "it sends more than it was asked for");
    } else if (c) {
        *h = (heard){.frame = *f};
        f->body = (mf_packet){0};
        c->queued += cost_of(&h->frame);
        c->lines += h->frame.kind == MF_LINK_LOG;
        *c->last = h;
        c->last = &h->next;
        h = NULL;
        pthread_cond_signal(&c->arrived);
    }
    pthread_mutex_unlock(&w->lock);
    free(h);
    return status;
}

static mf_status take_leaving(worker *w, mf_packet *p)
{
    const char *words = mf_packet_get_text(p);

    MF_TRY(mf_packet_check(p));
    pthread_mutex_lock(&w->lock);
    w->open = false;
    w->leaving = true;
    pthread_mutex_unlock(&w->lock);
    say(w->all, "worker %s takes no new nodes: %.200s", w->name, words ? words : "it ends");
    tell_changed(w->all);
    return MF_OK;
}

static mf_status take_frame(worker *w, mf_frame *f)
{
    if (f->channel)
        return pass_on(w, f);
    if (f->kind == MF_LINK_LEAVING)
        return take_leaving(w, &f->body);
    return mf_fail(MF_CORRUPT, "a message of the other end is damaged");
}

static mf_status hear_all(worker *w)
{
    bool end = false;
    mf_status status = MF_OK;

    while (!status && !end) {
        mf_frame f;
        status = mf_link_receive(w->link, &f, &end);
        if (!status && !end)
            status = take_frame(w, &f);
        mf_packet_clear(&f.body);
    }
    return status;
}

static void lose(worker *w, const mf_error *why)
{
    bool busy, open;

    mf_link_cut(w->link);
    pthread_mutex_lock(&w->lock);
    open = w->open;
    busy = w->channels != NULL;
    w->open = false;
    w->lost = true;
    for (mf_channel *c = w->channels; c; c = c->next)
        pthread_cond_broadcast(&c->arrived);
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_lock(&w->all->lock);
    bool closing = w->all->closing;
    pthread_mutex_unlock(&w->all->lock);
    if (!closing && (why || busy || open))
        say(w->all, "worker %s is lost: %s", w->name,
            why ? mf_error_message(why) : "it closed the connection");
    else if (!closing)
        say(w->all, "worker %s has ended", w->name);
    tell_changed(w->all);
}

static void *hear_worker(void *self)
{
    worker *w = self;
    mf_status status = hear_all(w);

    lose(w, status);
    mf_error_free(status);
    return NULL;
}

/* ---- joining --------------------------------------------------------------------------------- */

static mf_status hear_hello(mf_workers *all, mf_link *link, mf_hello *hello)
{
    mf_frame f;
    bool end;
    mf_status status = mf_link_receive(link, &f, &end);

    if (!status && end)
        status = mf_fail(MF_IO, "it went without a word");
    if (!status && (f.kind != MF_LINK_HELLO || f.channel))
        status = mf_fail(MF_CORRUPT, "a message of the other end is damaged");
    if (!status)
        status = mf_hello_get(&f.body, all->version, hello);
    mf_packet_clear(&f.body);
    return status;
}

static void free_worker(worker *w)
{
    if (!w)
        return;
    mf_link_free(w->link);
    mf_hello_clear(&w->hello);
    mf__map_clear(&w->known);
    mf__map_clear(&w->made);
    mf_packet_clear(&w->back);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static bool is_same(const mf_hello *a, const mf_hello *b)
{
    return a->random[0] == b->random[0] && a->random[1] == b->random[1] && a->pid == b->pid &&
           a->start == b->start && !strcmp(a->host, b->host);
}

static bool was_refused(worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool refused = w->refused;
    pthread_mutex_unlock(&w->lock);
    return refused;
}

/* Under the lock. */
static mf_status enter(mf_workers *all, worker *w)
{
    worker **grown;

    for (size_t i = 0; i < all->count; i++)
        if (is_same(&all->list[i]->hello, &w->hello))
            w->again = !was_refused(all->list[i]);

    if (all->closing)
        return mf_fail(MF_CANCELLED, "the run is over");
    if (all->count == MOST_WORKERS)
        return mf_fail(MF_UNSUPPORTED, "this run has had %d workers", MOST_WORKERS);
    grown = mf_list_more(all->list, all->count, sizeof(worker *));
    if (!grown)
        return mf_no_memory(0, "a worker");
    all->list = grown;
    if (pthread_create(&w->thread, NULL, hear_worker, w) != 0)
        return mf_fail(MF_NO_MEMORY, "no thread for a worker");
    all->list[all->count++] = w;
    all->any_made |= w->made.count > 0;
    return MF_OK;
}

static mf_status welcome(joining *j, worker *w)
{
    mf_packet p = {0};
    mf_workers *all = j->all;

    mf_link_set_beat(w->link, HELLO_SECONDS / MF_LINK_BEATS);
    MF_TRY(hear_hello(all, w->link, &w->hello));
    mf_link_set_beat(w->link, all->options.beat);
    for (size_t i = 0; i < w->hello.made_count; i++) {
        mf__map_entry *entry;
        MF_TRY(mf__map_add(&w->made, w->hello.made[i], &entry));
    }
    snprintf(w->name, sizeof w->name, "%s:%lld", w->hello.host, (long long)w->hello.pid);
    w->ends = isfinite(w->hello.ends) ? mf_seconds() + w->hello.ends : INFINITY;
    w->open = true;
    mf_packet_int(&p, (int64_t)(all->options.beat * 1e3));
    mf_packet_text(&p, all->spool ? mf_spool_dir(all->spool) : NULL);
    MF_TRY(mf_link_send(w->link, MF_LINK_WELCOME, 0, &p));
    say(all, "worker %s has joined from %s: %lld slots, %zu devices%s%s", w->name, j->from,
        (long long)w->hello.slots, w->hello.device_count, *w->hello.pool ? ", pool " : "",
        w->hello.pool);
    pthread_mutex_lock(&all->lock);
    mf_status status = enter(all, w);
    pthread_mutex_unlock(&all->lock);
    return status;
}

static void refuse(mf_link *link, const mf_error *why)
{
    mf_packet p = {0};
    char *text = mf_error_text(why);

    mf_packet_text(&p, text ? text : mf_error_message(why));
    mf_error_free(mf_link_send(link, MF_LINK_REFUSED, 0, &p));
    free(text);
}

static void *join_worker(void *self)
{
    joining *j = self;
    mf_workers *all = j->all;
    worker *w = calloc(1, sizeof *w);
    mf_status status = w ? MF_OK : mf_no_memory(0, "a worker");

    if (w) {
        w->all = all;
        w->link = j->link;
        pthread_mutex_init(&w->lock, NULL);
        status = welcome(j, w);
    } else {
        mf_link_free(j->link);
    }
    if (status && w)
        refuse(w->link, status);
    if (status) {
        say(all, "a worker from %s was refused: %s", j->from, mf_error_message(status));
        free_worker(w);
    } else {
        tell_changed(all);
    }
    mf_error_free(status);
    pthread_mutex_lock(&all->lock);
    all->joining--;
    pthread_cond_broadcast(&all->calm);
    pthread_mutex_unlock(&all->lock);
    free(j);
    return NULL;
}

/* In a thread of its own, for a hello may be slow. */
static void begin_join(mf_workers *all, mf_link *link, const char *from)
{
    joining *j = calloc(1, sizeof *j);
    pthread_t thread;

    if (j) {
        *j = (joining){.all = all, .link = link};
        snprintf(j->from, sizeof j->from, "%s", from);
        pthread_mutex_lock(&all->lock);
        all->joining++;
        pthread_mutex_unlock(&all->lock);
        if (pthread_create(&thread, NULL, join_worker, j) == 0) {
            pthread_detach(thread);
            return;
        }
        pthread_mutex_lock(&all->lock);
        all->joining--;
        pthread_mutex_unlock(&all->lock);
    }
    free(j);
    mf_link_free(link);
    say_refused(all, from, "there is no memory for another worker");
}

/* ---- strangers: connections that have proved nothing yet --------------------------------------
 */

static void forget(mf_workers *all, size_t i)
{
    all->strangers[i] = all->strangers[--all->stranger_count];
}

static void turn_away(mf_workers *all, size_t i, const char *why)
{
    say_refused(all, all->strangers[i].from, why);
    close(all->strangers[i].socket);
    forget(all, i);
}

/* Where there are too many, the one that has been there longest makes room: who knows the token
 * needs moments. */
static void make_room(mf_workers *all)
{
    size_t oldest = 0;

    if (all->stranger_count < MOST_STRANGERS)
        return;
    for (size_t i = 1; i < all->stranger_count; i++)
        if (all->strangers[i].since < all->strangers[oldest].since)
            oldest = i;
    turn_away(all, oldest, "there are too many that have not shown a token");
}

/* The last ones are for the nodes and the cache of this process: a quarter, of many 256. */
static bool files_run_out(int socket)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY)
        return false;
    rlim_t spare = files.rlim_cur / 4 < 256 ? files.rlim_cur / 4 : 256;
    return (rlim_t)socket >= files.rlim_cur - spare;
}

static void take_connection(mf_workers *all)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[48] = "?", port[8] = "?";
    int socket = accept4(all->socket, (struct sockaddr *)&address, &size, SOCK_CLOEXEC);
    stranger *s;

    if (socket < 0) {
        if (errno == EMFILE || errno == ENFILE)
            poll(NULL, 0, TICK); /* it is still waiting to be taken */
        return;
    }
    make_room(all);
    s = &all->strangers[all->stranger_count++];
    *s = (stranger){.socket = socket, .since = mf_seconds()};
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(s->from, sizeof s->from, "%s:%s", host, port);
    if (files_run_out(socket))
        turn_away(all, all->stranger_count - 1, "this process has few open files left (ulimit -n)");
    else if (!mf_handshake_begin(&s->handshake, socket))
        turn_away(all, all->stranger_count - 1, "it went without a word");
}

static void hear_stranger(mf_workers *all, size_t i)
{
    stranger *s = &all->strangers[i];
    bool done;
    mf_link *link;
    mf_status status =
        mf_handshake_hear(&s->handshake, s->socket, &all->options.token, &done, &link);

    if (status && done) { /* the socket is closed by now */
        say_refused(all, s->from, mf_error_message(status));
        forget(all, i);
    } else if (status) {
        turn_away(all, i, mf_error_message(status));
    } else if (done) {
        begin_join(all, link, s->from);
        forget(all, i);
    }
    mf_error_free(status);
}

static void end_slow_ones(mf_workers *all)
{
    double now = mf_seconds();

    for (size_t i = all->stranger_count; i-- > 0;)
        if (now - all->strangers[i].since > STRANGER_SECONDS)
            turn_away(all, i, "it showed no token in time");
}

/* ---- the listening thread -------------------------------------------------------------------- */

/* For nodes that it is to hand back. */
static void ask_back(worker *w)
{
    pthread_mutex_lock(&w->lock);
    mf_packet keys = w->back;
    w->back = (mf_packet){0};
    pthread_mutex_unlock(&w->lock);
    if (keys.size)
        mf_error_free(mf_link_send(w->link, MF_LINK_BACK, 0, &keys));
    mf_packet_clear(&keys);
}

static bool is_lost(worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool lost = w->lost;
    pthread_mutex_unlock(&w->lock);
    return lost;
}

/* Tells it, once, that it may go. */
static void dismiss(worker *w)
{
    mf_packet none = {0};

    pthread_mutex_lock(&w->lock);
    bool told = w->lost || w->dismissed;
    w->dismissed = true;
    pthread_mutex_unlock(&w->lock);
    if (!told)
        mf_error_free(mf_link_send(w->link, MF_LINK_BYE, 0, &none));
}

static void beat(mf_workers *all)
{
    pthread_mutex_lock(&all->lock);
    size_t count = all->count;
    pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&all->lock);
        worker *w = all->list[i];
        pthread_mutex_unlock(&all->lock);
        pthread_mutex_lock(&w->lock);
        bool lost = w->lost, cancel = w->cancel_due, closes = w->lost && !w->channels && !w->closed;
        w->closed |= closes;
        bool may_go = w->leaving && !w->dismissed && !w->channels;
        pthread_mutex_unlock(&w->lock);
        if (closes) /* workers come and go for as long as a run lasts */
            mf_link_close(w->link);
        if (lost)
            continue;
        struct pollfd ready = {.fd = mf_link_socket(w->link), .events = POLLOUT};
        if (cancel && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)) {
            mf_packet none = {0};
            mf_error_free(mf_link_send(w->link, MF_LINK_CANCEL, 0, &none));
            pthread_mutex_lock(&w->lock);
            w->cancel_due = false;
            pthread_mutex_unlock(&w->lock);
        }
        if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT))
            ask_back(w);
        if (may_go && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT))
            dismiss(w);
        mf_link_beat(w->link);
    }
}

static bool is_closing(mf_workers *all)
{
    pthread_mutex_lock(&all->lock);
    bool closing = all->closing;
    pthread_mutex_unlock(&all->lock);
    return closing;
}

static void *listen_all(void *self)
{
    mf_workers *all = self;
    struct pollfd waits[2 + MOST_STRANGERS];
    uint64_t count;

    while (!is_closing(all)) {
        size_t strangers = all->stranger_count;
        waits[0] = (struct pollfd){.fd = all->socket, .events = POLLIN};
        waits[1] = (struct pollfd){.fd = all->wake, .events = POLLIN};
        for (size_t i = 0; i < strangers; i++)
            waits[2 + i] = (struct pollfd){.fd = all->strangers[i].socket, .events = POLLIN};
        if (poll(waits, 2 + strangers, TICK) > 0) {
            if (waits[1].revents && read(all->wake, &count, sizeof count) < 0)
                continue;
            /* From behind: one that goes is replaced by the last one, which has been heard. */
            for (size_t i = strangers; i-- > 0;)
                if (waits[2 + i].revents)
                    hear_stranger(all, i);
            if (waits[0].revents)
                take_connection(all);
        }
        end_slow_ones(all);
        beat(all);
    }
    while (all->stranger_count) {
        close(all->strangers[all->stranger_count - 1].socket);
        forget(all, all->stranger_count - 1);
    }
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* "HOST:PORT" or "[HOST]:PORT"; cuts the text. */
static mf_status split(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':'), *end;
    long number = colon ? strtol(colon + 1, &end, 10) : -1;

    if (!colon || colon == text || !colon[1] || *end || number < 0 || number > 65535)
        return mf_fail(MF_INVALID, "'%s' is not HOST:PORT", text);
    *colon = 0;
    *host = text;
    *port = colon + 1;
    if (*text == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        *host = text + 1;
    }
    return MF_OK;
}

static mf_status bind_to(mf_workers *all, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE},
                    *found, *a;
    int yes = 1, why = getaddrinfo(host, port, &hints, &found);

    if (why)
        return mf_fail(MF_INVALID, "cannot listen at %s: %s", all->options.address,
                       gai_strerror(why));
    for (a = found; a && all->socket < 0; a = a->ai_next) {
        all->socket = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (all->socket < 0)
            continue;
        setsockopt(all->socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(all->socket, a->ai_addr, a->ai_addrlen) == 0 && listen(all->socket, 128) == 0)
            break;
        why = errno;
        close(all->socket);
        all->socket = -1;
        errno = why;
    }
    freeaddrinfo(found);
    return all->socket >= 0
               ? MF_OK
               : mf_fail(MF_IO, "cannot listen at %s: %s", all->options.address, strerror(errno));
}

static void find_bound(mf_workers *all)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[64] = "?", port[8] = "?";

    if (getsockname(all->socket, (struct sockaddr *)&address, &size) == 0)
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(all->bound, sizeof all->bound, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static mf_status open_all(mf_workers *all)
{
    char *host = NULL, *port = NULL, *text = strdup(all->options.address);
    mf_status status;

    if (!text || !(all->version = strdup(all->options.version))) {
        free(text);
        return mf_no_memory(0, "listening");
    }
    status = split(text, &host, &port);
    if (!status)
        status = bind_to(all, host, port);
    free(text);
    MF_TRY(status);
    find_bound(all);
    all->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (all->wake < 0)
        return mf_fail(MF_IO, "cannot listen: %s", strerror(errno));
    all->threaded = pthread_create(&all->thread, NULL, listen_all, all) == 0;
    return all->threaded ? MF_OK : mf_fail(MF_NO_MEMORY, "no thread to listen");
}

mf_status mf_workers_open(const mf_workers_options *options, mf_workers **workers)
{
    mf_workers *all = calloc(1, sizeof *all);
    mf_status status;

    *workers = NULL;
    if (!all)
        return mf_no_memory(0, "listening");
    all->options = *options;
    if (!(all->options.beat > 0))
        all->options.beat = MF_LINK_BEAT;
    all->socket = all->wake = -1;
    pthread_mutex_init(&all->lock, NULL);
    pthread_mutex_init(&all->watch_lock, NULL);
    pthread_cond_init(&all->calm, NULL);
    status = !options->spool ? MF_OK
                             : mf_spool_open(options->spool, options->spool_bytes, options->tell,
                                             options->self, &all->spool);
    if (!status)
        status = open_all(all);
    if (status) {
        mf_workers_close(all);
        return status;
    }
    all->options.address = all->options.spool = NULL; /* the caller's */
    *workers = all;
    return MF_OK;
}

static void end_worker(worker *w)
{
    /* It closes when it has heard that; who does not is not waited for long. */
    if (!is_lost(w)) {
        struct pollfd gone = {.fd = mf_link_socket(w->link), .events = POLLRDHUP};
        poll(&gone, 1, 1000);
    }
    mf_link_cut(w->link);
    pthread_join(w->thread, NULL);
    free_worker(w);
}

void mf_workers_dismiss(mf_workers *all)
{
    pthread_mutex_lock(&all->lock);
    all->closing = true;
    pthread_mutex_unlock(&all->lock);
    if (all->threaded) {
        wake(all);
        pthread_join(all->thread, NULL);
        all->threaded = false;
    }
    pthread_mutex_lock(&all->lock);
    while (all->joining)
        pthread_cond_wait(&all->calm, &all->lock);
    pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < all->count; i++)
        dismiss(all->list[i]);
}

void mf_workers_close(mf_workers *all)
{
    if (!all)
        return;
    mf_workers_dismiss(all);
    for (size_t i = 0; i < all->count; i++)
        end_worker(all->list[i]);
    mf_spool_close(all->spool);
    if (all->socket >= 0)
        close(all->socket);
    if (all->wake >= 0)
        close(all->wake);
    pthread_mutex_destroy(&all->lock);
    pthread_mutex_destroy(&all->watch_lock);
    pthread_cond_destroy(&all->calm);
    free(all->list);
    free(all->version);
    free(all);
}

const char *mf_workers_address(const mf_workers *all)
{
    return all->bound;
}

/* ---- the list -------------------------------------------------------------------------------- */

static worker *at(mf_workers *all, size_t number)
{
    pthread_mutex_lock(&all->lock);
    worker *w = number >= 1 && number <= all->count ? all->list[number - 1] : NULL;
    pthread_mutex_unlock(&all->lock);
    return w;
}

size_t mf_workers_count(mf_workers *all)
{
    pthread_mutex_lock(&all->lock);
    size_t count = all->count;
    pthread_mutex_unlock(&all->lock);
    return count;
}

void mf_workers_state(mf_workers *all, size_t number, mf_worker_state *state)
{
    worker *w = at(all, number);

    *state = (mf_worker_state){.ends = INFINITY};
    if (!w)
        return;
    memcpy(state->name, w->name, sizeof state->name);
    memcpy(state->pool, w->hello.pool, sizeof state->pool);
    state->slots = (int)w->hello.slots;
    state->bytes = (size_t)w->hello.bytes;
    state->device_count = w->hello.device_count;
    state->again = w->again;
    state->ends = w->ends;
    state->group = w->hello.group;
    state->group_rank = (int)w->hello.group_rank;
    state->sent = mf_link_sent(w->link);
    state->received = mf_link_received(w->link);
    pthread_mutex_lock(&w->lock);
    state->open = w->open;
    state->lost = w->lost;
    state->running = w->running;
    pthread_mutex_unlock(&w->lock);
}

void mf_workers_watch(mf_workers *all, void (*changed)(void *self), void *self)
{
    pthread_mutex_lock(&all->watch_lock);
    all->changed = changed;
    all->changed_self = self;
    pthread_mutex_unlock(&all->watch_lock);
}

/* With the streams that it reads. */
static bool lacks_stage(mf_workers *all, const worker *w, const mf_work *work)
{
    const mf_hello_stage *stage = mf_hello_find(&w->hello, work->stage->name);
    char code[80];

    mf_stage_code(work->stage, code);
    if (!stage || strcmp(stage->code, code)) {
        snprintf(all->why, sizeof all->why,
                 stage ? "worker %s has another version of %s" : "worker %s has no stage %s",
                 w->name, work->stage->name);
        return true;
    }
    for (size_t i = 0; i < work->feed_count; i++)
        if (work->feeds[i].stream && lacks_stage(all, w, work->feeds[i].stream))
            return true;
    return false;
}

const char *mf_workers_cannot(mf_workers *all, size_t number, const mf_work *work)
{
    const worker *w = at(all, number);

    if (!w)
        return "there is no such worker";
    return lacks_stage(all, w, work) ? all->why : NULL;
}

const mf_device_info *mf_workers_device(mf_workers *all, size_t number, size_t device)
{
    return &at(all, number)->hello.devices[device].info;
}

bool mf_workers_same_memory(mf_workers *all, size_t number, size_t a, size_t b)
{
    const worker *w = at(all, number);

    return w->hello.devices[a].memory_of == w->hello.devices[b].memory_of;
}

static bool knows(worker *w, const char *id)
{
    uint8_t digest[MF_DIGEST_BYTES];

    if (!mf_hex_decode(id, digest))
        return false;
    pthread_mutex_lock(&w->lock);
    bool known = mf__map_find(&w->known, digest) != NULL;
    pthread_mutex_unlock(&w->lock);
    return known;
}

int64_t mf_workers_missing(mf_workers *all, size_t number, const mf_work *work,
                           int64_t (*bytes)(void *self, const char *id), void *self)
{
    worker *w = at(all, number);
    int64_t missing = 0;

    for (size_t i = 0; w && i < work->feed_count; i++) {
        for (size_t k = 0; k < work->feeds[i].count; k++)
            if (!knows(w, work->feeds[i].elements[k].id))
                missing += bytes(self, work->feeds[i].elements[k].id);
        if (work->feeds[i].stream)
            missing += mf_workers_missing(all, number, work->feeds[i].stream, bytes, self);
    }
    return missing;
}

size_t mf_workers_made(mf_workers *all, const char *key)
{
    uint8_t digest[MF_DIGEST_BYTES];

    pthread_mutex_lock(&all->lock);
    size_t count = all->any_made ? all->count : 0;
    pthread_mutex_unlock(&all->lock);
    if (!mf_hex_decode(key, digest))
        return 0;
    for (size_t i = count; i > 0; i--) { /* one that joined again is behind what it was */
        worker *w = at(all, i);
        if (!w->made.count || !mf__map_find(&w->made, digest))
            continue;
        pthread_mutex_lock(&w->lock);
        bool open = w->open;
        pthread_mutex_unlock(&w->lock);
        if (open)
            return i;
    }
    return 0;
}

void mf_workers_take_back(mf_workers *all, size_t number, const char *key)
{
    worker *w = at(all, number);

    pthread_mutex_lock(&w->lock);
    mf_packet_text(&w->back, key);
    pthread_mutex_unlock(&w->lock);
    wake(all);
}

void mf_workers_cancel(mf_workers *all)
{
    size_t count = mf_workers_count(all);

    for (size_t i = 1; i <= count; i++) {
        worker *w = at(all, i);
        pthread_mutex_lock(&w->lock);
        w->cancel_due = true;
        pthread_mutex_unlock(&w->lock);
    }
    wake(all);
}

/* ---- channels -------------------------------------------------------------------------------- */

mf_status mf_channel_open(mf_workers *all, size_t number, mf_channel **channel)
{
    worker *w = at(all, number);
    mf_channel *c = calloc(1, sizeof *c);

    *channel = NULL;
    if (!c)
        return mf_no_memory(0, "a channel");
    pthread_cond_init(&c->arrived, NULL);
    c->worker = w;
    c->last = &c->first;
    pthread_mutex_lock(&w->lock);
    bool open = w->open;
    if (open) {
        c->number = ++w->last_channel;
        c->next = w->channels;
        w->channels = c;
        w->running++;
    }
    pthread_mutex_unlock(&w->lock);
    if (open) {
        *channel = c;
        return MF_OK;
    }
    pthread_cond_destroy(&c->arrived);
    free(c);
    return MF_OK;
}

void mf_channel_close(mf_channel *c)
{
    mf_channel **link;

    if (!c)
        return;
    pthread_mutex_lock(&c->worker->lock);
    for (link = &c->worker->channels; *link != c; link = &(*link)->next)
        ;
    *link = c->next;
    c->worker->running--;
    pthread_mutex_unlock(&c->worker->lock);
    drop_heard(c);
    pthread_cond_destroy(&c->arrived);
    free(c);
}

mf_status mf_channel_send(mf_channel *c, mf_link_kind kind, mf_packet *body, const void *bytes,
                          size_t size, bool *lost)
{
    mf_status status = mf_link_send_bytes(c->worker->link, kind, c->number, body, bytes, size);

    *lost = status && mf_error_code(status) == MF_IO;
    if (!*lost)
        return status;
    mf_error_free(status);
    return MF_OK;
}

void mf_channel_spool(mf_channel *c, const uint8_t digest[MF_DIGEST_BYTES], const mf_chunk *chunk)
{
    if (c->worker->all->spool)
        mf_spool_put(c->worker->all->spool, digest, chunk);
}

void mf_channel_next(mf_channel *c, mf_frame *frame, bool *lost)
{
    heard *h;

    pthread_mutex_lock(&c->worker->lock);
    while (!c->first && !c->worker->lost)
        pthread_cond_wait(&c->arrived, &c->worker->lock);
    h = c->first;
    if (h) {
        c->first = h->next;
        if (!c->first)
            c->last = &c->first;
        c->queued -= cost_of(&h->frame);
        c->lines -= h->frame.kind == MF_LINK_LOG;
    }
    pthread_mutex_unlock(&c->worker->lock);
    *lost = !h;
    *frame = h ? h->frame : (mf_frame){0};
    free(h);
}

void mf_channel_refuse(mf_channel *c, const mf_error *why)
{
    mf_packet none = {0};

    say(c->worker->all, "worker %s is not heard any more: %s", c->worker->name,
        mf_error_message(why));
    pthread_mutex_lock(&c->worker->lock);
    c->worker->refused = true;
    pthread_mutex_unlock(&c->worker->lock);
    /* What it makes would be refused again: it must not go on with that. */
    mf_error_free(mf_link_send(c->worker->link, MF_LINK_CANCEL, c->number, &none));
    mf_link_cut(c->worker->link);
}

const char *mf_channel_worker(const mf_channel *c)
{
    return c->worker->name;
}

void mf_channel_knows(mf_channel *c, const char *id)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__map_entry *entry;

    if (!mf_hex_decode(id, digest))
        return;
    pthread_mutex_lock(&c->worker->lock);
    mf_error_free(mf__map_add(&c->worker->known, digest, &entry)); /* not known: it costs time */
    pthread_mutex_unlock(&c->worker->lock);
}
