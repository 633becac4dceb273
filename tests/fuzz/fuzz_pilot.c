/* fuzz_pilot.c - what a worker hears of a run: a node to run, whose input is forged (forge.h); what
 * the worker asks is answered rightly, or with what the input says. The worker comes to an end. */
#include "forge.h"
#include "run/remote/pilot.h"
#include "run/remote/remote.h"
#include "store/transfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a stage that reads all of its input ----------------------------------------------------- */

static mf_status read_run(mf_task *t, const void *params, void *session)
{
    const mf_artifact *a;

    (void)params, (void)session;
    MF_TRY(mf_in(t, "volume", &a));
    forge_use(a, false);
    return mf_fail(MF_INVALID, "read");
}

static const mf_port read_in[] = {MF_PORT("volume", "volume", "Any."), MF_END};
static const mf_port read_out[] = {MF_PORT("text", "text", "Nothing."), MF_END};
static MF_STAGE(reading, "fuzz.read", 1, "Reads.", .in = read_in, .out = read_out, .run = read_run);
#define massflow_plugin fuzz_plugin
MF_PLUGIN("fuzz", &reading)
#undef massflow_plugin

/* ---- the worker ------------------------------------------------------------------------------ */

static mf_token token;
static int listener;
static char where[64];

typedef struct worker {
    mf_host *host;
    mf_pilot_options options;
} worker;

static void *serve(void *self)
{
    worker *w = self;
    bool lost;

    failed(mf_pilot_serve(w->host, &w->options, &lost));
    return NULL;
}

static void open_all(void)
{
    enter_scratch();
    PROMISE(!mf_token_read("token", true, &token));
    PROMISE(!mf_registry_add((mf_registry *)forge_registry(), fuzz_plugin(), "fuzz.so"));
}

/* One for each input: a worker that has lost its run tries to join again. */
static void open_listener(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;

    listener = socket(AF_INET, SOCK_STREAM, 0);
    PROMISE(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 4) == 0);
    PROMISE(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    snprintf(where, sizeof where, "127.0.0.1:%d", ntohs(at.sin_port));
}

/* ---- the run --------------------------------------------------------------------------------- */

static void put_raw(mf_packet *p, forge_bytes *in)
{
    for (size_t count = forge_take(in) % 32; count > 0; count--)
        mf_packet_int(p, forge_int(in, (int64_t)count));
}

static void tell_start(mf_link *link, const forged *f, forge_bytes *in)
{
    mf_packet p = {0};
    char id[MF_HEX_SIZE], code[80];

    mf_hex_encode(f->id, id);
    mf_stage_code(&reading, code);
    for (int i = 0; i < 8; i++) /* one thread, one device, no limits, no process of its own */
        mf_packet_int(&p, forge_int(in, i == 1 || i == 2));
    mf_packet_text(&p, "key");
    for (int i = 0; i < 2; i++) /* number 0 of one worker */
        mf_packet_int(&p, forge_int(in, i));
    mf_packet_int(&p, forge_int(in, 0)); /* no input files */
    if (forge_take(in) == 255) {
        put_raw(&p, in);
    } else {
        mf_packet_text(&p, "read");
        mf_packet_text(&p, "fuzz.read");
        mf_packet_text(&p, code);
        mf_packet_text(&p, "");
        mf_packet_text(&p, NULL);
        mf_packet_int(&p, 0);
        mf_packet_int(&p, 1);
        mf_packet_text(&p, id);
        mf_packet_text(&p, "scan");
        mf_packet_text(&p, "");
        mf_packet_text(&p, NULL);
        mf_packet_text(&p, NULL);
        mf_packet_int(&p, 0);
    }
    mf_error_free(mf_link_send(link, MF_LINK_START, 1, &p));
}

static void reply(mf_link *link, uint32_t channel, mf_packet *content)
{
    mf_packet p = {0};

    mf_packet_status(&p, NULL);
    mf_packet_append(&p, content);
    mf_packet_clear(content);
    mf_error_free(mf_link_send(link, MF_LINK_REPLY, channel, &p));
}

/* The pieces of a record are its chunks, but for those that are alike. */
static void tell_pieces(mf_link *link, mf_frame *q, const forged *f, const mf_parcel *parcel,
                        forge_bytes *in)
{
    (void)mf_packet_get_text(&q->body);
    size_t count = mf_packet_get_count(&q->body);

    for (size_t i = 0; i < count; i++) {
        int64_t piece = mf_packet_get_int(&q->body);
        for (size_t k = 0; parcel && k < f->count && (size_t)piece < parcel->count; k++) {
            mf_packet p = {0};
            if (memcmp(f->chunk[k].digest, parcel->pieces[piece].digest, MF_DIGEST_BYTES))
                continue;
            mf_packet_int(&p, forge_int(in, piece));
            mf_packet_int(&p, forge_int(in, 0));
            mf_packet_int(&p, forge_int(in, (int64_t)f->chunk[k].size));
            mf_error_free(mf_link_send_bytes(link, MF_LINK_PIECE, q->channel, &p, f->chunk[k].bytes,
                                             f->chunk[k].size));
            break;
        }
    }
}

/* False once the node was cancelled: the worker says no more of it. */
static bool answer(mf_link *link, mf_frame *q, const forged *f, const mf_parcel *parcel,
                   forge_bytes *in)
{
    mf_packet p = {0};
    mf_link_kind kind = MF_LINK_PING;

    if (forge_take(in) == 255) {
        kind = (mf_link_kind)(forge_take(in) % MF_LINK_KIND_COUNT);
        put_raw(&p, in);
        if (kind != MF_LINK_PING)
            mf_error_free(mf_link_send(link, kind, q->channel, &p));
        mf_packet_clear(&p);
    }
    if (q->kind == MF_LINK_WANT)
        tell_pieces(link, q, f, parcel, in);
    if (q->kind == MF_LINK_GET)
        mf_packet_bytes(&p, f->record.bytes, f->record.size);
    reply(link, q->channel, &p);
    return kind != MF_LINK_CANCEL;
}

static mf_link *accept_worker(void)
{
    mf_handshake h;
    mf_link *link;
    bool done = false;
    int s;

    do /* the fuzzer's clock interrupts */
        s = accept(listener, NULL, NULL);
    while (s < 0 && errno == EINTR);
    PROMISE(s >= 0 && mf_handshake_begin(&h, s));
    while (!done)
        PROMISE(!mf_handshake_hear(&h, s, &token, &done, &link));
    return link;
}

static void play(mf_link *link, forge_bytes *in)
{
    forged f = {0};
    mf_parcel *parcel = NULL;
    mf_frame q;
    mf_packet p = {0};
    bool end = false, done = false;

    forge(in, &f);
    mf_error_free(mf_parcel_new(f.record.bytes, f.record.size, &parcel));
    PROMISE(!mf_link_receive(link, &q, &end) && q.kind == MF_LINK_HELLO);
    mf_packet_clear(&q.body);
    mf_packet_int(&p, forge_int(in, 10000));
    mf_packet_text(&p, NULL); /* no spool */
    mf_error_free(mf_link_send(link, MF_LINK_WELCOME, 0, &p));
    tell_start(link, &f, in);
    while (!done && !failed(mf_link_receive(link, &q, &end)) && !end) {
        done = q.kind == MF_LINK_DONE || q.kind == MF_LINK_RETURNED || q.kind == MF_LINK_LEAVING;
        if (q.kind == MF_LINK_GET || q.kind == MF_LINK_WANT || q.kind == MF_LINK_LOAD)
            done = !answer(link, &q, &f, parcel, in);
        mf_packet_clear(&q.body);
    }
    mf_error_free(mf_link_send(link, MF_LINK_BYE, 0, &(mf_packet){0}));
    mf_parcel_free(parcel);
    forge_clear(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    forge_bytes in = {data, size};
    worker w = {.options = {.where = where,
                            .slots = 1,
                            .bytes = 1 << 20,
                            .cache = "chunk_cache",
                            .cache_bytes = 1 << 20,
                            .pool = "",
                            .version = "1",
                            .ends = INFINITY}};
    pthread_t thread;
    mf_link *link;

    if (!*where)
        open_all();
    open_listener();
    w.options.token = token;
    PROMISE(!mf_host_new(NULL, forge_registry(), "cpu", &w.host));
    PROMISE(pthread_create(&thread, NULL, serve, &w) == 0);
    link = accept_worker();
    play(link, &in);
    mf_link_free(link);
    close(listener);
    pthread_join(thread, NULL);
    mf_host_free(w.host);
    return 0;
}
