/* test_ranks.c - one batch on several devices: the gradients and the weights after a step are those
 * of one device to the byte, with ranks that are threads. */
#include "../expect.h"
#include "../run_suite.h"
#include "rank_threads.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

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
        g->status = mf_transport_barrier(t);
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
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
