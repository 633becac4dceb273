/* expect.h - what a test expects of a status: that there is no error, or one with this whole text.
 */
#ifndef MF_TESTS_EXPECT_H
#define MF_TESTS_EXPECT_H

#include <massflow/error.h>

#include <check.h>
#include <stdlib.h>

/* Ends the test with the error's text. */
static inline void ok(mf_status status)
{
    if (status)
        ck_abort_msg("%s", mf_error_text(status));
}

/* The error must be there and say exactly this. */
static inline void fails(mf_status status, const char *expected)
{
    ck_assert_ptr_nonnull(status);
    char *text = mf_error_text(status);
    ck_assert_str_eq(text, expected);
    free(text);
    mf_error_free(status);
}

#endif
