/* test_lines.c - log lines on their way to the loop: bounded, in order, counted where left out. */
#include "../expect.h"
#include "../run_suite.h"
#include "run/schedule/lines.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void put(mf_lines *l, const char *node, int i, bool wait)
{
    char text[32];

    snprintf(text, sizeof text, "line %d", i);
    mf_lines_put(l, node, text, wait);
}

static void expect_line(mf_lines *l, const char *node, const char *text)
{
    mf_line *line = mf_lines_take(l);

    ck_assert_ptr_nonnull(line);
    ck_assert_str_eq(line->node, node);
    ck_assert_str_eq(line->text, text);
    free(line);
}

START_TEST(test_in_order)
{
    mf_lines *l = mf_lines_new();

    for (int i = 0; i < 3; i++)
        put(l, "a", i, false);
    ck_assert_uint_eq(mf_lines_last(l), 3);
    expect_line(l, "a", "line 0");
    expect_line(l, "a", "line 1");
    expect_line(l, "a", "line 2");
    ck_assert_ptr_null(mf_lines_take(l));
    mf_lines_free(l);
}
END_TEST

/* What does not fit is counted where it was said, for each node on its own. */
START_TEST(test_full)
{
    static const char a[] = "a", b[] = "b";
    mf_lines *l = mf_lines_new();

    for (int i = 0; i < MF_LINES_ROOM + 5; i++)
        put(l, a, i, false);
    put(l, b, 0, false);
    put(l, a, 0, false);
    put(l, b, 1, false);
    ck_assert_uint_eq(mf_lines_last(l), MF_LINES_ROOM + 2);
    for (int i = 0; i < MF_LINES_ROOM; i++) {
        char text[32];
        snprintf(text, sizeof text, "line %d", i);
        expect_line(l, a, text);
    }
    put(l, a, 7, false);
    expect_line(l, a, "6 lines are dropped here: too many per second");
    expect_line(l, b, "2 lines are dropped here: too many per second");
    expect_line(l, a, "line 7");
    ck_assert_ptr_null(mf_lines_take(l));
    mf_lines_free(l);
}
END_TEST

/* A wait that nobody ends is short, and the next lines do not wait: or a stage that says a million
 * lines would stand still for days. */
START_TEST(test_a_wait_in_vain)
{
    static const char a[] = "a";
    mf_lines *l = mf_lines_new();

    for (int i = 0; i < MF_LINES_ROOM + 1000000; i++)
        put(l, a, i, true);
    for (int i = 0; i < MF_LINES_ROOM; i++)
        free(mf_lines_take(l));
    expect_line(l, a, "1000000 lines are dropped here: too many per second");
    put(l, a, 1, true);
    expect_line(l, a, "line 1");
    mf_lines_free(l);
}
END_TEST

static void *talk(void *l)
{
    static const char node[] = "b";

    for (int i = 0; i < 200000; i++)
        put(l, node, i, true);
    return NULL;
}

/* Taken as fast as they come, all that is said is shown or counted. */
START_TEST(test_from_a_thread)
{
    mf_lines *l = mf_lines_new();
    pthread_t thread;
    size_t seen = 0;
    uint64_t last = 0;

    ck_assert_int_eq(pthread_create(&thread, NULL, talk, l), 0);
    while (seen < 200000) {
        mf_line *line = mf_lines_take(l);
        if (!line)
            continue;
        ck_assert_uint_gt(line->number, last);
        last = line->number;
        seen += line->left_out ? line->left_out : 1;
        free(line);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(seen, 200000);
    ck_assert_ptr_null(mf_lines_take(l));
    mf_lines_free(l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lines");
    TCase *lines = tcase_create("lines");

    tcase_set_timeout(lines, 60);
    tcase_add_test(lines, test_in_order);
    tcase_add_test(lines, test_full);
    tcase_add_test(lines, test_a_wait_in_vain);
    tcase_add_test(lines, test_from_a_thread);
    suite_add_tcase(suite, lines);
    return run_suite(suite);
}
