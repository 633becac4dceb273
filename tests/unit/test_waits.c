/* test_waits.c - waiting for another process: when the user is told, when its owner counts as dead.
 */
#include "run/waits.h"

#include <check.h>
#include <stdlib.h>

START_TEST(told_at_first_and_each_minute)
{
    mf_waits waits = {0};
    mf_lease_owner owner = {.heartbeat = 5};
    mf_wait *w = mf_waits_need(&waits, 7);
    ck_assert(!mf_waits_any(&waits));
    ck_assert(mf_wait_seen(w, &owner, 100));
    ck_assert(mf_waits_any(&waits));
    ck_assert(!mf_wait_seen(w, &owner, 159.9));
    ck_assert(mf_wait_seen(w, &owner, 160));
    ck_assert(!mf_wait_seen(w, &owner, 219));
    w->waiting = false; /* over; and once more */
    ck_assert(mf_wait_seen(w, &owner, 220));
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
    mf_wait_seen(w, &owner, 0);
    mf_wait_seen(w, &owner, MF_LEASE_PATIENCE - 1);
    ck_assert_int_eq(w->dead, 0);
    owner.heartbeat = 3; /* a clock may go back: that it changes is what counts */
    mf_wait_seen(w, &owner, MF_LEASE_PATIENCE);
    mf_wait_seen(w, &owner, 2 * MF_LEASE_PATIENCE - 1);
    ck_assert_int_eq(w->dead, 0);
    mf_wait_seen(w, &owner, 2 * MF_LEASE_PATIENCE);
    ck_assert_int_eq(w->dead, 3);
    mf_waits_clear(&waits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waits");
    TCase *c = tcase_create("waits");
    tcase_add_test(c, told_at_first_and_each_minute);
    tcase_add_test(c, dead_after_a_minute_without_a_beat);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
