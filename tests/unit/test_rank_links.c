/* test_rank_links.c - transports between workers: what goes both ways at once, also in large
 * messages, to the devices of other workers, and where the other end is gone. */
#include "../expect.h"
#include "../run_suite.h"
#include "rank_groups.h"
#include "run/remote/rank_links.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS_MOST = 4, DEVICES_MOST = 2 };

typedef struct crew {
    int count, devices;
    mf_rank_links *links[WORKERS_MOST];
    const char *addresses[WORKERS_MOST];
} crew;

typedef struct worker {
    crew *crew;
    int rank;
    mf_status status;
    pthread_t thread;
} worker;

static void *meet(void *self)
{
    worker *w = self;

    w->status = mf_rank_links_meet(w->crew->links[w->rank], w->crew->addresses);
    return NULL;
}

/* Each listens at the address of a socket of its own. */
static crew make_crew(int count, int devices)
{
    crew c = {.count = count, .devices = devices};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    worker workers[WORKERS_MOST];
    int beside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(beside, (struct sockaddr *)&at, sizeof at), 0);
    for (int i = 0; i < count; i++) {
        const mf_rank_links_options options = {
            .rank = i, .ranks = count, .devices = devices, .secret = {.key = {7}}, .seconds = 60};
        ok(mf_rank_links_new(&options, beside, &c.links[i]));
        c.addresses[i] = mf_rank_links_address(c.links[i]);
    }
    close(beside);
    for (int i = 0; i < count; i++) {
        workers[i] = (worker){.crew = &c, .rank = i};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, meet, &workers[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        ok(workers[i].status);
    }
    return c;
}

static void free_crew(crew *c)
{
    for (int i = 0; i < c->count; i++)
        mf_rank_links_free(c->links[i]);
}

/* ---- both ways ------------------------------------------------------------------------------- */

/* From each end, in one swap after the other; the last takes several parts of a message. */
static const size_t sizes[][2] = {
    {1, 1},         {0, 70000},   {70000, 0},         {65535, 65536},
    {65536, 65536}, {3, 5000000}, {5000000, 4000001}, {(size_t)40 << 20, ((size_t)40 << 20) + 1}};
enum { SWAPS = sizeof sizes / sizeof *sizes, LARGEST = (40 << 20) + 1 };

static uint8_t byte_at(int rank, int round, size_t i)
{
    return (uint8_t)(i * 31 + i / 251 + (size_t)(rank * 101 + round * 7));
}

typedef struct end {
    mf_transport *transport;
    int wrong; /* 1 + the first swap of which other bytes came */
    mf_status status;
    pthread_t thread;
} end;

static mf_status swap_once(end *e, int round, uint8_t *out, uint8_t *in)
{
    mf_transport *t = e->transport;
    const int other = t->rank ^ 1;
    const size_t out_bytes = sizes[round][t->rank], in_bytes = sizes[round][other];

    for (size_t i = 0; i < out_bytes; i++)
        out[i] = byte_at(t->rank, round, i);
    MF_TRY(t->swap(t->self, other, out, out_bytes, in, in_bytes));
    memset(out, 0, out_bytes); /* it is gone, or copied */
    for (size_t i = 0; i < in_bytes && !e->wrong; i++)
        if (in[i] != byte_at(other, round, i))
            e->wrong = 1 + round;
    return MF_OK;
}

static void *swap_all(void *self)
{
    end *e = self;
    uint8_t *out = malloc(LARGEST), *in = malloc(LARGEST);

    for (int round = 0; round < SWAPS && !e->status; round++)
        e->status = swap_once(e, round, out, in);
    free(out);
    free(in);
    return NULL;
}

START_TEST(large_messages_go_both_ways)
{
    crew c = make_crew(2, 1);
    end ends[2] = {0};

    for (int i = 0; i < 2; i++) {
        ends[i].transport = mf_rank_links_transports(c.links[i])[0];
        ck_assert_int_eq(pthread_create(&ends[i].thread, NULL, swap_all, &ends[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(ends[i].thread, NULL);
        ok(ends[i].status);
        ck_assert_int_eq(ends[i].wrong, 0);
    }
    free_crew(&c);
}
END_TEST

/* The other one ends instead of sending. */
START_TEST(the_other_end_is_gone)
{
    crew c = make_crew(2, 1);
    end one = {.transport = mf_rank_links_transports(c.links[0])[0]};

    mf_rank_links_free(c.links[1]);
    c.links[1] = NULL;
    swap_all(&one);
    ck_assert_ptr_nonnull(one.status);
    ck_assert_int_eq(mf_error_code(one.status), MF_CANCELLED);
    fails(one.status, "worker 1 of the training has failed or ended");
    free_crew(&c);
}
END_TEST

typedef struct stuck {
    mf_transport *transport;
    size_t bytes;
    mf_status status;
    pthread_t thread;
} stuck;

static void *swap_zeros(void *self)
{
    stuck *s = self;
    void *out = calloc(1, s->bytes), *in = calloc(1, s->bytes);

    s->status =
        s->transport->swap(s->transport->self, s->transport->rank ^ 1, out, s->bytes, in, s->bytes);
    free(out);
    free(in);
    return NULL;
}

/* It sends more than a connection holds, to one that does not listen. */
START_TEST(an_abort_ends_a_large_message)
{
    crew c = make_crew(2, 1);
    stuck s = {.transport = mf_rank_links_transports(c.links[0])[0], .bytes = (size_t)64 << 20};

    ck_assert_int_eq(pthread_create(&s.thread, NULL, swap_zeros, &s), 0);
    usleep(50000); /* most often it is in the middle by now */
    s.transport->abort(s.transport->self);
    pthread_join(s.thread, NULL);
    ck_assert_ptr_nonnull(s.status);
    ck_assert_int_eq(mf_error_code(s.status), MF_CANCELLED);
    mf_error_free(s.status);
    free_crew(&c);
}
END_TEST

/* ---- devices of several workers ---------------------------------------------------------------
 */

enum { ROWS = 11 };

typedef struct device {
    mf_transport *transport;
    int32_t rows[ROWS];
    mf_status status;
    pthread_t thread;
} device;

static void *gather(void *self)
{
    device *d = self;
    int64_t first, items;

    mf_batch_part(ROWS, d->transport->ranks, d->transport->rank, &first, &items);
    for (int64_t i = first; i < first + items; i++)
        d->rows[i] = (int32_t)(3 * i + 1);
    d->status = mf_transport_gather(d->transport, d->rows, ROWS, sizeof d->rows[0]);
    if (!d->status)
        d->status = mf_transport_barrier(d->transport);
    return NULL;
}

START_TEST(devices_of_several_workers_have_all_rows)
{
    const int counts[][2] = {{2, 1}, {4, 1}, {2, 2}, {4, 2}}; /* workers, devices of each */

    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        const int workers = counts[k][0], each = counts[k][1];
        crew c = make_crew(workers, each);
        mf_rank_groups *groups[WORKERS_MOST];
        device devices[WORKERS_MOST * DEVICES_MOST] = {0};
        for (int i = 0; i < workers; i++)
            ok(mf_rank_groups_new(each, mf_rank_links_transports(c.links[i]), &groups[i]));
        for (int i = 0; i < workers * each; i++) {
            devices[i].transport = mf_rank_groups_at(groups[i / each], i % each);
            ck_assert_int_eq(devices[i].transport->rank, i);
            ck_assert_int_eq(pthread_create(&devices[i].thread, NULL, gather, &devices[i]), 0);
        }
        for (int i = 0; i < workers * each; i++) {
            pthread_join(devices[i].thread, NULL);
            ok(devices[i].status);
            for (int row = 0; row < ROWS; row++)
                ck_assert_int_eq(devices[i].rows[row], 3 * row + 1);
        }
        for (int i = 0; i < workers; i++)
            mf_rank_groups_free(groups[i]);
        free_crew(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rank_links");
    TCase *t = tcase_create("rank_links");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, large_messages_go_both_ways);
    tcase_add_test(t, the_other_end_is_gone);
    tcase_add_test(t, an_abort_ends_a_large_message);
    tcase_add_test(t, devices_of_several_workers_have_all_rows);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
