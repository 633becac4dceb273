/* rank_links.c - what two workers of one training exchange, both ways, against plain TCP over the
 * same way: both directions at once, and one after the other.
 *
 * rank_links PLACE PLACE [MB ROUNDS], by default 64 MB each way and 5 rounds. A place is an address
 * of this host, or NAMESPACE/ADDRESS; bench_rank_links makes two namespaces. The three take turns;
 * after one round to warm up it prints the medians. */
#include "run/remote/rank_links.h"
#include "bench.h"
#include "run/remote/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE ((size_t)2 << 20) /* as the exchange of gradients has it between two workers */

enum { LINKS, TOGETHER, IN_TURN, WAYS, ROUNDS_MOST = 100 };
static const char *const names[WAYS] = {"direct connection of workers",
                                        "plain TCP, both ways at once",
                                        "plain TCP, one way after the other"};

/* One end: what it has to the other one. */
typedef struct end {
    int rank, words[2]; /* to the other process, from it */
    int socket;         /* plain TCP */
    mf_rank_links *links;
    mf_transport *transport;
    size_t pieces;
    char *out, *in;
} end;

static void stop(const char *what)
{
    perror(what);
    exit(1);
}

/* Enters the namespace of a place. A socket at its address, which is bound. */
static int stand_at(const char *place)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const char *slash = strchr(place, '/');
    char path[256];

    if (slash) {
        snprintf(path, sizeof path, "/run/netns/%.*s", (int)(slash - place), place);
        const int space = open(path, O_RDONLY | O_CLOEXEC);
        if (space < 0 || setns(space, CLONE_NEWNET) != 0)
            stop(path);
        close(space);
    }
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, slash ? slash + 1 : place, &at.sin_addr) != 1 ||
        bind(s, (struct sockaddr *)&at, sizeof at) != 0)
        stop(place);
    return s;
}

static void tell(const end *e, const char *word)
{
    char line[96] = "";

    snprintf(line, sizeof line, "%s", word);
    if (write(e->words[0], line, sizeof line) != sizeof line)
        stop("the other process");
}

static void hear(const end *e, char line[96])
{
    if (read(e->words[1], line, 96) != 96)
        stop("the other process");
}

/* ---- plain TCP ------------------------------------------------------------------------------- */

static void connect_plain(end *e, int beside)
{
    char line[96];

    if (e->rank == 0) {
        int listener;
        check(mf_address_listen_beside(beside, &listener, line));
        tell(e, line);
        poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, -1);
        e->socket = accept(listener, NULL, NULL);
        close(listener);
    } else {
        hear(e, line);
        check(mf_address_connect(line, &e->socket));
    }
    if (e->socket < 0)
        stop("accept");
}

static void *send_plain(void *self)
{
    const end *e = self;

    for (size_t i = 0; i < e->pieces; i++)
        for (size_t at = 0; at < PIECE;) {
            const ssize_t done = send(e->socket, e->out + at, PIECE - at, MSG_NOSIGNAL);
            if (done <= 0)
                stop("send");
            at += (size_t)done;
        }
    return NULL;
}

static void receive_plain(const end *e)
{
    for (size_t i = 0; i < e->pieces; i++)
        if (recv(e->socket, e->in, PIECE, MSG_WAITALL) != (ssize_t)PIECE)
            stop("recv");
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void exchange(end *e, int way)
{
    pthread_t thread;

    if (way == LINKS) {
        for (size_t i = 0; i < e->pieces; i++)
            check(e->transport->swap(e->transport->self, 1 - e->rank, e->out, PIECE, e->in, PIECE));
    } else if (way == TOGETHER) {
        if (pthread_create(&thread, NULL, send_plain, e) != 0)
            stop("thread");
        receive_plain(e);
        pthread_join(thread, NULL);
    } else if (e->rank == 0) {
        send_plain(e);
        receive_plain(e);
    } else {
        receive_plain(e);
        send_plain(e);
    }
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(end *e, int rounds)
{
    static double seconds[WAYS][ROUNDS_MOST];

    for (int i = -1; i < rounds; i++)
        for (int way = 0; way < WAYS; way++) {
            check(mf_transport_barrier(e->transport));
            const double start = mf_seconds();
            exchange(e, way);
            check(mf_transport_barrier(e->transport));
            if (i >= 0)
                seconds[way][i] = mf_seconds() - start;
        }
    for (int way = 0; way < WAYS && e->rank == 0; way++) {
        qsort(seconds[way], (size_t)rounds, sizeof(double), by_size);
        const double median = seconds[way][rounds / 2];
        printf("%-36s %7.3f s  %6.1f MB/s each way\n", names[way], median,
               (double)(e->pieces * PIECE) / 1e6 / median);
    }
}

static void run_end(end *e, const char *place, int rounds)
{
    const int beside = stand_at(place);
    const mf_rank_links_options options = {
        .rank = e->rank, .ranks = 2, .devices = 1, .secret = {.key = {1}}, .seconds = 30};
    char lines[2][96];

    e->out = calloc(1, PIECE);
    e->in = calloc(1, PIECE);
    if (!e->out || !e->in)
        stop("memory");
    connect_plain(e, beside);
    check(mf_rank_links_new(&options, beside, &e->links));
    snprintf(lines[e->rank], sizeof lines[0], "%s", mf_rank_links_address(e->links));
    tell(e, lines[e->rank]);
    hear(e, lines[1 - e->rank]);
    check(mf_rank_links_meet(e->links, (const char *const[]){lines[0], lines[1]}));
    e->transport = mf_rank_links_transports(e->links)[0];
    measure(e, rounds);
    mf_rank_links_free(e->links);
    close(e->socket);
    close(beside);
    free(e->out);
    free(e->in);
}

int main(int argc, char **argv)
{
    const double megabytes = argc > 3 ? atof(argv[3]) : 64;
    const int rounds = argc > 4 ? atoi(argv[4]) : 5;
    int down[2], up[2], how = 0;

    if (argc < 3 || megabytes < 2 || megabytes > 1e5 || rounds < 1 || rounds > ROUNDS_MOST) {
        fprintf(stderr,
                "rank_links PLACE PLACE [MB ROUNDS]; a place: ADDRESS or NAMESPACE/ADDRESS\n");
        return 2;
    }
    if (pipe(down) != 0 || pipe(up) != 0)
        stop("pipe");
    const size_t pieces = (size_t)(megabytes * 1e6 / (double)PIECE) + 1;
    const pid_t child = fork();
    if (child < 0)
        stop("fork");
    if (!child) {
        end other = {.rank = 1, .words = {up[1], down[0]}, .pieces = pieces};
        run_end(&other, argv[2], rounds);
        return 0;
    }
    end own = {.words = {down[1], up[0]}, .pieces = pieces};
    run_end(&own, argv[1], rounds);
    waitpid(child, &how, 0);
    return how ? 1 : 0;
}
