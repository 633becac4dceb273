/* test_heap.c - the order of nodes, and nodes by key, against plain searches. */
#include "../run_suite.h"
#include "run/plan/heap.h"
#include "run/plan/twins.h"

#include "../expect.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 200

static uint64_t state = 1;

static size_t below(size_t n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(state >> 33) % n;
}

/* By rank, then by number. */
static bool comes_before(const void *self, size_t a, size_t b)
{
    const int *ranks = self;

    return ranks[a] > ranks[b] || (ranks[a] == ranks[b] && a < b);
}

static size_t first_of(const bool *in, const int *ranks)
{
    size_t best = MOST;

    for (size_t i = 0; i < MOST; i++)
        if (in[i] && (best == MOST || (ranks ? comes_before(ranks, i, best) : i < best)))
            best = i;
    return best;
}

START_TEST(the_first_is_taken)
{
    int ranks[MOST];
    for (size_t i = 0; i < MOST; i++)
        ranks[i] = (int)below(20);
    for (int ranked = 0; ranked < 2; ranked++) {
        bool in[MOST] = {0};
        mf_heap heap;
        size_t count = 0;
        ok(mf_heap_init(&heap, MOST, ranked ? comes_before : NULL, ranks));
        for (int round = 0; round < 20000; round++) {
            size_t i = below(MOST);
            if (ranked && round % 1000 == 0) { /* all ranks change, the heap is told */
                for (size_t k = 0; k < MOST; k++)
                    ranks[k] = (int)below(20);
                mf_heap_order(&heap);
            }
            if (count && below(2)) {
                i = mf_heap_take(&heap);
                ck_assert_uint_eq(i, first_of(in, ranked ? ranks : NULL));
                in[i] = false;
                count--;
            } else {
                mf_heap_add(&heap, i); /* one that is there is there once */
                count += !in[i];
                in[i] = true;
            }
            ck_assert_uint_eq(heap.count, count);
        }
        mf_heap_clear(&heap);
    }
}
END_TEST

START_TEST(nodes_with_a_key_are_found_in_the_order_they_got_it)
{
    char keys[MOST][8] = {0};
    size_t order[MOST], number = 0;
    mf_twins twins;
    ok(mf_twins_init(&twins, MOST));
    for (int round = 0; round < 20000; round++) {
        size_t i = below(MOST), found = 0;
        snprintf(keys[i], sizeof keys[i], "k%zu", below(40));
        mf_twins_put(&twins, i, keys[i]);
        order[i] = number++;
        size_t last = MOST;
        for (size_t k = mf_twins_first(&twins, keys[i]); k != MF_TWIN_NONE;
             k = mf_twins_next(&twins, k)) {
            if (strcmp(keys[k], keys[i]))
                continue; /* the same hash */
            ck_assert(last == MOST || order[last] < order[k]);
            last = k;
            found++;
        }
        for (size_t k = 0; k < MOST; k++)
            found -= !strcmp(keys[k], keys[i]);
        ck_assert_uint_eq(found, 0);
    }
    mf_twins_clear(&twins);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *c = tcase_create("heap");
    tcase_add_test(c, the_first_is_taken);
    tcase_add_test(c, nodes_with_a_key_are_found_in_the_order_they_got_it);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
