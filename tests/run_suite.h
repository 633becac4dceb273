/* run_suite.h - the end of a test program: a suite is run, and freed; gives the exit status. */
#ifndef MF_TESTS_RUN_SUITE_H
#define MF_TESTS_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int run_suite_as(Suite *suite, enum fork_status how)
{
    SRunner *runner = srunner_create(suite);

    srunner_set_fork_status(runner, how);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Each test in a process of its own, unless CK_FORK=no. */
static inline int run_suite(Suite *suite)
{
    return run_suite_as(suite, CK_FORK_GETENV);
}

#endif
