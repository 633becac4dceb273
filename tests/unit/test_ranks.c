/* test_ranks.c - one batch on several devices: the gradients and the weights after a step are those
 * of one device to the byte, with ranks that are threads and with processes. */
#include "../expect.h"
#include "../run_suite.h"
#include "rank_sockets.h"
#include "rank_threads.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Weights: more than one piece of an exchange, few, used twice in one run, reached by no gradient.
 */
enum { WEIGHTS = 4, RANKS_MOST = 4, LARGE = 0, TWICE = 2, UNUSED = 3 };
static const int64_t counts[WEIGHTS] = {(1 << 20) + 5003, 7, 300, 9};
enum { MOST = (1 << 20) + 5003 };

typedef struct rig {
    mf_device *device;
    mf_weights *w;
    mf_executable *e;
} rig;

/* Item i of a batch. */
static float value_of(int k, int64_t at, int64_t i)
{
    return 0.3f * sinf((float)(at % 977 * (k + 2)) + (float)i);
}

/* Every rank has a device of its own, all of one kind. */
static rig make_rig(void)
{
    rig r;
    mf_program *p;
    mf_value loss = MF_NONE;
    ok(mf_device_open(getenv("MASSFLOW_DEVICE"), &r.device));
    ok(mf_weights_new(r.device, &r.w));
    ok(mf_program_new(&p));
    for (int k = 0; k < WEIGHTS; k++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        mf_value w = mf_weight(p, name, 1, &counts[k]);
        if (k == UNUSED)
            continue;
        mf_value x = mf_input(p, name, MF_F32, 1, &counts[k]);
        mf_value part = mf_sum(p, mf_mul(p, w, x), 0);
        if (k == TWICE)
            part = mf_add(p, part, mf_sum(p, mf_mul(p, w, mf_mul(p, w, x)), 0));
        loss = k ? mf_add(p, loss, part) : part;
    }
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
    ok(mf_program_compile(p, r.w, &r.e));
    mf_program_free(p);
    float *values = malloc(MOST * sizeof *values);
    for (int k = 0; k < WEIGHTS; k++) {
        for (int64_t i = 0; i < counts[k]; i++)
            values[i] = 0.1f * cosf((float)(i * 3 + k));
        ok(mf_weights_set(r.w, (size_t)k, values));
    }
    free(values);
    return r;
}

static void free_rig(rig *r)
{
    mf_executable_free(r->e);
    mf_weights_free(r->w);
    mf_device_unref(r->device);
}

static void run_item(rig *r, int64_t i)
{
    static _Thread_local float values[MOST];
    for (int k = 0; k < UNUSED; k++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        for (int64_t at = 0; at < counts[k]; at++)
            values[at] = value_of(k, at, i);
        ok(mf_executable_set(r->e, name, values));
    }
    ok(mf_executable_run(r->e));
    ok(mf_weights_end_item(r->w));
}

/* All bytes of the gradients, or of the weights. */
typedef struct kept {
    float value[WEIGHTS][MOST];
} kept;

static void keep(rig *r, bool gradients, kept *to)
{
    for (size_t k = 0; k < WEIGHTS; k++)
        ok(gradients ? mf_weights_get_gradient(r->w, k, to->value[k])
                     : mf_weights_get(r->w, k, to->value[k]));
}

static void assert_same(const kept *a, const kept *b, int ranks, int64_t count, const char *what)
{
    for (int k = 0; k < WEIGHTS; k++)
        ck_assert_msg(!memcmp(a->value[k], b->value[k], (size_t)counts[k] * sizeof(float)),
                      "%s of weight %d, %d ranks, batch of %lld", what, k, ranks, (long long)count);
}

static void learn(rig *r, int64_t count, mf_transport *t)
{
    int64_t first, items;
    mf_batch_part(count, t->ranks, t->rank, &first, &items);
    ok(items ? mf_weights_begin_batch(r->w, items) : mf_weights_clear_gradients(r->w));
    for (int64_t i = first; i < first + items; i++)
        run_item(r, i);
    ok(mf_weights_exchange(r->w, t));
}

static void step(rig *r, int64_t count)
{
    const mf_optimizer_step s = {.kind = MF_LAMB,
                                 .rate = 1e-2,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .eps = 1e-6,
                                 .max_norm = 1,
                                 .grad_scale = 1 / (double)count,
                                 .ema_decay = 0.9,
                                 .step = 1};
    float norm;
    ok(mf_weights_step(r->w, &s, &norm));
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct rank {
    rig rig;
    mf_transport *transport;
    int64_t count; /* of the batch */
    kept *gradients;
    pthread_t thread;
} rank;

static void *learn_in_thread(void *self)
{
    rank *r = self;
    learn(&r->rig, r->count, r->transport);
    keep(&r->rig, true, r->gradients);
    return NULL;
}

static void learn_together(rank *ranks, int n, int64_t count)
{
    for (int i = 0; i < n; i++) {
        ranks[i].count = count;
        ck_assert_int_eq(pthread_create(&ranks[i].thread, NULL, learn_in_thread, &ranks[i]), 0);
    }
    for (int i = 0; i < n; i++)
        pthread_join(ranks[i].thread, NULL);
}

static mf_transport alone(void)
{
    return (mf_transport){.ranks = 1};
}

/* Batches of fewer items than ranks, too. */
START_TEST(test_ranks_give_the_bytes_of_one_device)
{
    mf_transport one = alone();
    rig single = make_rig();
    kept *whole = malloc(sizeof *whole);
    rank ranks[RANKS_MOST] = {0};
    for (int i = 0; i < RANKS_MOST; i++) {
        ranks[i].rig = make_rig();
        ranks[i].gradients = malloc(sizeof(kept));
    }
    for (int64_t count = 1; count <= 5; count++) {
        learn(&single, count, &one);
        keep(&single, true, whole);
        for (int n = 2; n <= RANKS_MOST; n *= 2) {
            mf_rank_threads *threads;
            ok(mf_rank_threads_new(n, &threads));
            for (int i = 0; i < n; i++)
                ranks[i].transport = mf_rank_threads_at(threads, i);
            learn_together(ranks, n, count);
            for (int i = 0; i < n; i++)
                assert_same(whole, ranks[i].gradients, n, count, "the gradient");
            mf_rank_threads_free(threads);
        }
    }
    step(&single, 5);
    keep(&single, false, whole);
    for (int i = 0; i < RANKS_MOST; i++) {
        step(&ranks[i].rig, 5);
        keep(&ranks[i].rig, false, ranks[i].gradients);
        assert_same(whole, ranks[i].gradients, RANKS_MOST, 5, "the value");
        free(ranks[i].gradients);
        free_rig(&ranks[i].rig);
    }
    free(whole);
    free_rig(&single);
}
END_TEST

/* A rank sends 2 (ranks - 1) / ranks of its gradients, and a few words. */
START_TEST(test_no_more_is_sent_than_must_be)
{
    rank ranks[RANKS_MOST] = {0};
    for (int i = 0; i < RANKS_MOST; i++) {
        ranks[i].rig = make_rig();
        ranks[i].gradients = malloc(sizeof(kept));
    }
    for (int n = 2; n <= RANKS_MOST; n *= 2) {
        const double bytes = 4.0 * (double)(counts[0] + counts[1] + counts[2]);
        const double bound = 2.0 * (n - 1) / n * bytes;
        mf_rank_threads *threads;
        uint64_t sent = 0;
        ok(mf_rank_threads_new(n, &threads));
        for (int i = 0; i < n; i++)
            ranks[i].transport = mf_rank_threads_at(threads, i);
        learn_together(ranks, n, n);
        for (int i = 0; i < n; i++) {
            ck_assert_msg((double)ranks[i].transport->sent < 1.01 * bound,
                          "rank %d of %d sent %llu", i, n,
                          (unsigned long long)ranks[i].transport->sent);
            sent += ranks[i].transport->sent;
        }
        ck_assert((double)sent >= n * bound);
        mf_rank_threads_free(threads);
    }
    for (int i = 0; i < RANKS_MOST; i++) {
        free(ranks[i].gradients);
        free_rig(&ranks[i].rig);
    }
}
END_TEST

START_TEST(test_parts_of_a_batch)
{
    static const int64_t firsts[4] = {0, 2, 3, 4}, sizes[4] = {2, 1, 1, 1}; /* of 5 in 4 */
    int64_t first, items;
    for (int i = 0; i < 4; i++) {
        mf_batch_part(5, 4, i, &first, &items);
        ck_assert_int_eq(first, firsts[i]);
        ck_assert_int_eq(items, sizes[i]);
    }
    mf_batch_part(1, 2, 1, &first, &items);
    ck_assert_int_eq(items, 0);
    mf_batch_part(7, 1, 0, &first, &items);
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(items, 7);
}
END_TEST

/* ---- gathering ------------------------------------------------------------------------------- */

enum { ROWS = 5 };

typedef struct gatherer {
    mf_transport *transport;
    int32_t rows[ROWS][3];
    bool fails;
    mf_status status;
    pthread_t thread;
} gatherer;

static void *gather(void *self)
{
    gatherer *g = self;
    mf_transport *t = g->transport;
    int64_t first, items;
    if (g->fails) {
        t->abort(t->self);
        return NULL;
    }
    mf_batch_part(ROWS, t->ranks, t->rank, &first, &items);
    for (int64_t i = first; i < first + items; i++)
        for (int k = 0; k < 3; k++)
            g->rows[i][k] = (int32_t)(10 * i + k);
    g->status = mf_transport_gather(t, g->rows, ROWS, sizeof g->rows[0]);
    if (!g->status)
        g->status = t->barrier(t->self);
    return NULL;
}

static void gather_together(gatherer *g, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&g[i].thread, NULL, gather, &g[i]), 0);
    for (int i = 0; i < n; i++)
        pthread_join(g[i].thread, NULL);
}

static void assert_gathered(const gatherer *g)
{
    ok(g->status);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < 3; k++)
            ck_assert_int_eq(g->rows[i][k], 10 * i + k);
}

START_TEST(test_all_have_all_rows)
{
    for (int n = 1; n <= 8; n *= 2) {
        gatherer g[8] = {0};
        mf_rank_threads *threads;
        ok(mf_rank_threads_new(n, &threads));
        for (int i = 0; i < n; i++)
            g[i].transport = mf_rank_threads_at(threads, i);
        gather_together(g, n);
        for (int i = 0; i < n; i++)
            assert_gathered(&g[i]);
        mf_rank_threads_free(threads);
    }
}
END_TEST

/* Nobody waits for it without end. */
START_TEST(test_a_rank_that_fails)
{
    gatherer g[4] = {0};
    mf_rank_threads *threads;
    ok(mf_rank_threads_new(4, &threads));
    for (int i = 0; i < 4; i++)
        g[i].transport = mf_rank_threads_at(threads, i);
    g[2].fails = true;
    gather_together(g, 4);
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            continue;
        ck_assert_int_eq(mf_error_code(g[i].status), MF_CANCELLED);
        fails(g[i].status, "another device of the training has failed");
    }
    mf_rank_threads_free(threads);
}
END_TEST

START_TEST(test_what_does_not_fit_together)
{
    mf_transport three = {.ranks = 3}, one = alone();
    rig r = make_rig();
    ok(mf_weights_clear_gradients(r.w));
    fails(mf_weights_exchange(r.w, &three), "rank 0 of 3: their number is a power of 2");
    ok(mf_weights_begin_batch(r.w, 2));
    fails(mf_weights_exchange(r.w, &one), "a step after 0 of a batch of 2 items");
    free_rig(&r);
}
END_TEST

/* ---- processes ------------------------------------------------------------------------------- */

/* Two processes with two ranks each; a socket between any two of the four. */
static void connect_all(int sockets[RANKS_MOST][RANKS_MOST])
{
    for (int a = 0; a < RANKS_MOST; a++)
        for (int b = a + 1; b < RANKS_MOST; b++) {
            int pair[2];
            ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
            sockets[a][b] = pair[0];
            sockets[b][a] = pair[1];
        }
}

/* Ranks first and first + 1; those of the other process are closed here. */
static void open_ranks(int sockets[RANKS_MOST][RANKS_MOST], int first, mf_rank_sockets **made)
{
    for (int i = 0; i < RANKS_MOST; i++) {
        if (i / 2 == first / 2) {
            ok(mf_rank_sockets_new(i, RANKS_MOST, sockets[i], &made[i - first]));
            continue;
        }
        for (int k = 0; k < RANKS_MOST; k++)
            if (k != i)
                close(sockets[i][k]);
    }
}

static void learn_in_process(int sockets[RANKS_MOST][RANKS_MOST], int first, int64_t count,
                             rank *ranks)
{
    mf_rank_sockets *made[2];
    open_ranks(sockets, first, made);
    for (int i = 0; i < 2; i++) {
        ranks[i].rig = make_rig();
        ranks[i].gradients = malloc(sizeof(kept));
        ranks[i].transport = mf_rank_sockets_transport(made[i]);
    }
    learn_together(ranks, 2, count);
    for (int i = 0; i < 2; i++)
        mf_rank_sockets_free(made[i]);
}

static void free_two(rank *ranks)
{
    for (int i = 0; i < 2; i++) {
        free(ranks[i].gradients);
        free_rig(&ranks[i].rig);
    }
}

/* A digest of all gradients of both ranks, which are equal. */
static uint64_t digest_of(const rank *ranks, int64_t count)
{
    uint64_t hash = 14695981039346656037u;
    assert_same(ranks[0].gradients, ranks[1].gradients, RANKS_MOST, count, "the gradient");
    for (int k = 0; k < WEIGHTS; k++) {
        const unsigned char *bytes = (const unsigned char *)ranks[0].gradients->value[k];
        for (size_t i = 0; i < (size_t)counts[k] * sizeof(float); i++)
            hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

START_TEST(test_two_processes_of_two_ranks)
{
    enum { COUNT = 5 };
    int sockets[RANKS_MOST][RANKS_MOST], answer[2];
    rank ranks[2] = {0};
    uint64_t there;
    connect_all(sockets);
    ck_assert_int_eq(pipe(answer), 0);
    const pid_t child = fork(); /* before OpenCL is met */
    ck_assert_int_ge(child, 0);
    if (!child) {
        learn_in_process(sockets, 2, COUNT, ranks);
        there = digest_of(ranks, COUNT);
        _exit(write(answer[1], &there, sizeof there) != sizeof there);
    }
    learn_in_process(sockets, 0, COUNT, ranks);
    ck_assert_int_eq(read(answer[0], &there, sizeof there), sizeof there);
    ck_assert(there == digest_of(ranks, COUNT));
    mf_transport one = alone();
    rig single = make_rig();
    kept *whole = malloc(sizeof *whole);
    learn(&single, COUNT, &one);
    keep(&single, true, whole);
    assert_same(whole, ranks[0].gradients, RANKS_MOST, COUNT, "the gradient");
    free(whole);
    free_rig(&single);
    free_two(ranks);
    int how;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}
END_TEST

/* The other process ends without a word. */
START_TEST(test_a_process_that_ends)
{
    int sockets[RANKS_MOST][RANKS_MOST];
    mf_rank_sockets *made[2];
    gatherer g[2] = {0};
    connect_all(sockets);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child)
        _exit(0);
    open_ranks(sockets, 0, made);
    for (int i = 0; i < 2; i++)
        g[i].transport = mf_rank_sockets_transport(made[i]);
    gather_together(g, 2);
    fails(g[0].status, "rank 2 of the training has failed or ended");
    fails(g[1].status, "rank 3 of the training has failed or ended");
    for (int i = 0; i < 2; i++)
        mf_rank_sockets_free(made[i]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ranks");
    TCase *t = tcase_create("ranks");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_ranks_give_the_bytes_of_one_device);
    tcase_add_test(t, test_no_more_is_sent_than_must_be);
    tcase_add_test(t, test_parts_of_a_batch);
    tcase_add_test(t, test_all_have_all_rows);
    tcase_add_test(t, test_a_rank_that_fails);
    tcase_add_test(t, test_what_does_not_fit_together);
    tcase_add_test(t, test_two_processes_of_two_ranks);
    tcase_add_test(t, test_a_process_that_ends);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
