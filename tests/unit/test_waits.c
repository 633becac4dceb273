/* test_waits.c - waiting for another process: when the user is told, when its owner counts as dead.
 */
#include "../run_suite.h"
#include "run/schedule/waits.h"

#include <check.h>
#include <stdlib.h>

START_TEST(told_at_first_and_each_minute)
{
    mf_waits waits = {0};
    mf_lease_owner owner = {.heartbeat = 5};
    mf_wait *w = mf_waits_need(&waits, 7);
    ck_assert(!mf_waits_any(&waits));
    ck_assert(mf_wait_seen(&waits, w, &owner, 100));
    ck_assert(mf_waits_any(&waits));
    ck_assert(!mf_wait_seen(&waits, w, &owner, 159.9));
    ck_assert(mf_wait_seen(&waits, w, &owner, 160));
    ck_assert(!mf_wait_seen(&waits, w, &owner, 219));
    mf_wait_over(&waits, w); /* over; and once more */
    ck_assert(mf_wait_seen(&waits, w, &owner, 220));
    ck_assert_ptr_eq(mf_waits_find(&waits, 7), w);
    ck_assert_ptr_null(mf_waits_find(&waits, 8));
    mf_waits_clear(&waits);
}
END_TEST

START_TEST(dead_after_a_minute_without_a_beat)
{
    mf_waits waits = {0};
    mf_lease_owner owner = {.heartbeat = 5};
    mf_wait *w = mf_waits_need(&waits, 1);
    mf_wait_seen(&waits, w, &owner, 0);
    mf_wait_seen(&waits, w, &owner, MF_LEASE_TIMEOUT - 1);
    ck_assert_int_eq(w->dead, 0);
    owner.heartbeat = 3; /* a clock may go back: that it changes is what counts */
    mf_wait_seen(&waits, w, &owner, MF_LEASE_TIMEOUT);
    mf_wait_seen(&waits, w, &owner, 2 * MF_LEASE_TIMEOUT - 1);
    ck_assert_int_eq(w->dead, 0);
    mf_wait_seen(&waits, w, &owner, 2 * MF_LEASE_TIMEOUT);
    ck_assert_int_eq(w->dead, 3);
    mf_waits_clear(&waits);
}
END_TEST

START_TEST(each_node_is_found)
{
    mf_waits waits = {0};
    mf_lease_owner owner = {.heartbeat = 5};
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(mf_waits_need(&waits, i * 377 % 1000)->index, i * 377 % 1000);
    ck_assert_uint_eq(waits.count, 1000);
    for (size_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(mf_waits_find(&waits, i)->index, i);
        ck_assert_ptr_eq(mf_waits_need(&waits, i), mf_waits_find(&waits, i));
    }
    ck_assert_uint_eq(waits.count, 1000);
    ck_assert_ptr_null(mf_waits_find(&waits, 1000));
    ck_assert_ptr_null(mf_waits_find(&waits, 1000000));
    mf_wait_seen(&waits, mf_waits_find(&waits, 3), &owner, 0);
    mf_wait_seen(&waits, mf_waits_find(&waits, 3), &owner, 1);
    mf_wait_seen(&waits, mf_waits_find(&waits, 4), &owner, 1);
    mf_wait_over(&waits, mf_waits_find(&waits, 3));
    mf_wait_over(&waits, mf_waits_find(&waits, 3)); /* it was */
    ck_assert(mf_waits_any(&waits));
    mf_wait_over(&waits, mf_waits_find(&waits, 4));
    ck_assert(!mf_waits_any(&waits));
    mf_waits_clear(&waits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waits");
    TCase *c = tcase_create("waits");
    tcase_add_test(c, told_at_first_and_each_minute);
    tcase_add_test(c, dead_after_a_minute_without_a_beat);
    tcase_add_test(c, each_node_is_found);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
