/* fuzz_link.c - what a run hears of a worker. First byte: 0 a handshake, 1 a hello, else frames of
 * a worker that knows the token: raw ones, and outputs as forge.h makes them. The run's thread
 * comes to an end, and its cache stays sound. */
#include "forge.h"
#include "run/remote/remote.h"
#include "store/chunk_cache.h"
#include "store/upkeep.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#define WORKERS 500 /* of one listener */

static mf_store *store;
static mf_host *host;
static mf_workers *workers;
static mf_token token;
static mf_element element;
static mf_feed feed;
static mf_work work;

static void open_listener(void)
{
    const mf_workers_options o = {
        .address = "127.0.0.1:0", .token = token, .beat = 1, .version = "1"};

    mf_workers_close(workers);
    PROMISE(!mf_workers_open(&o, &workers));
}

static void open_all(void)
{
    const mf_registry *registry = forge_registry();
    mf_artifact *a;

    enter_scratch();
    PROMISE(!mf_token_read("token", true, &token));
    PROMISE(!mf_store_open("cache", MF_STORE_WRITE, &store));
    PROMISE(!mf_host_new(store, registry, "cpu", &host));
    PROMISE(!mf_artifact_new("volume", &a) && !mf_store_put(store, a, element.id));
    mf_artifact_unref(a);
    element.node = "scan";
    element.case_id = "";
    work = (mf_work){.node = "split",
                     .stage = mf_registry_stage(registry, "toy.split"),
                     .case_id = "",
                     .feed_count = 1,
                     .feeds = &feed,
                     .out_count = 2,
                     .state_key = "key"};
    feed = (mf_feed){.port = &work.stage->in[0], .count = 1, .elements = &element};
    mf_params *params;
    PROMISE(!mf_params_new(work.stage, &params) && !mf_params_finish(params));
    work.params = params;
}

static int connect_here(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(mf_workers_address(workers), ':') + 1));
    PROMISE(s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0);
    return s;
}

static void try_handshake(const uint8_t *data, size_t size)
{
    int s[2];
    mf_handshake h;
    mf_link *link = NULL;
    bool done = false;

    PROMISE(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && mf_handshake_begin(&h, s[0]));
    size_t part = size < 200 ? size : 200;
    PROMISE(send(s[1], data, part, 0) == (ssize_t)part);
    shutdown(s[1], SHUT_WR);
    while (!done && !failed(mf_handshake_hear(&h, s[0], &token, &done, &link)))
        ;
    PROMISE(!done); /* nobody guesses a token */
    close(s[0]);
    close(s[1]);
}

static void try_hello(const uint8_t *data, size_t size)
{
    mf_packet p = {.size = size};
    mf_hello hello;

    p.bytes = malloc(size + 1);
    PROMISE(p.bytes);
    memcpy(p.bytes, data, size);
    if (!failed(mf_hello_get(&p, "1", &hello)))
        mf_hello_clear(&hello);
    mf_packet_clear(&p);
}

/* ---- a worker -------------------------------------------------------------------------------- */

static void tell(mf_link *link, mf_link_kind kind, mf_packet *p)
{
    mf_error_free(mf_link_send(link, kind, 1, p));
}

static void tell_output(mf_link *link, forge_bytes *in)
{
    forged f = {0};
    mf_packet p = {0};

    forge(in, &f);
    mf_packet_text(&p, forge_take(in) & 1 ? "upper" : "lower");
    mf_packet_bytes(&p, f.record.bytes, f.record.size);
    tell(link, MF_LINK_OUTPUT, &p);
    for (size_t i = 0; i < f.count; i++) {
        mf_packet q = {0};
        mf_packet_int(&q, forge_int(in, (int64_t)i));
        mf_packet_int(&q, 0);
        mf_packet_int(&q, forge_int(in, (int64_t)f.chunk[i].size));
        mf_error_free(
            mf_link_send_bytes(link, MF_LINK_PIECE, 1, &q, f.chunk[i].bytes, f.chunk[i].size));
    }
    tell(link, MF_LINK_KEEP, &(mf_packet){0});
    forge_clear(&f);
}

static void tell_raw(mf_link *link, forge_bytes *in)
{
    mf_link_kind kind = (mf_link_kind)(forge_take(in) % MF_LINK_KIND_COUNT);
    size_t size = forge_take(in) * 4u;
    uint32_t channel = forge_take(in) % 3;
    mf_packet none = {0};

    size = size < in->left ? size : in->left;
    mf_error_free(mf_link_send_bytes(link, kind, channel, &none, in->at, size));
    in->at += size;
    in->left -= size;
}

typedef struct node {
    size_t number;
    bool ended;
} node;

static void *run_node(void *self)
{
    node *n = self;
    const mf_limits limits = {0};
    mf_remote_end end;
    mf_task *task;

    PROMISE(!mf_task_new(host, &work, 1, &task));
    failed(mf_execute_remote(workers, n->number, task, &limits, "key", false, &end));
    mf_task_free(task);
    n->ended = true;
    return NULL;
}

static void try_frames(forge_bytes *in)
{
    size_t before = mf_workers_count(workers);
    mf_hello hello = {.version = "1", .host = "h", .pid = 1, .slots = 1, .ends = INFINITY};
    mf_packet p = {0};
    mf_frame f;
    mf_link *link;
    node n = {.number = before + 1};
    pthread_t thread;
    bool end;

    PROMISE(!mf_link_join(connect_here(), &token, 10, "here", &link));
    mf_hello_put(&p, &hello);
    PROMISE(!mf_link_send(link, MF_LINK_HELLO, 0, &p));
    PROMISE(!mf_link_receive(link, &f, &end) && f.kind == MF_LINK_WELCOME);
    mf_packet_clear(&f.body);
    while (mf_workers_count(workers) == before)
        sched_yield();
    PROMISE(pthread_create(&thread, NULL, run_node, &n) == 0);
    PROMISE(!mf_link_receive(link, &f, &end) && f.kind == MF_LINK_START);
    mf_packet_clear(&f.body);
    while (in->left)
        if (forge_take(in) % 3)
            tell_raw(link, in);
        else
            tell_output(link, in);
    mf_link_free(link); /* and so the node comes back, unless it has ended */
    pthread_join(thread, NULL);
    PROMISE(n.ended);
}

static void print_damage(void *self, const mf_damage *d)
{
    (void)self;
    fprintf(stderr, "%s: %s\n", d->what, d->means);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int inputs;
    forge_bytes in = {data + 1, size ? size - 1 : 0};
    mf_verified verified;

    if (!size)
        return 0;
    if (!store)
        open_all();
    if (data[0] == 0) {
        try_handshake(in.at, in.left);
    } else if (data[0] == 1) {
        try_hello(in.at, in.left);
    } else {
        if (inputs++ % WORKERS == 0)
            open_listener();
        try_frames(&in);
        PROMISE(!mf_store_verify("cache", print_damage, NULL, &verified));
        PROMISE(!verified.damages);
    }
    return 0;
}
