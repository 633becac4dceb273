/* checked.c - see checked.h. */
#include "checked.h"
#include "check/case.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

mf_device *test_device(void)
{
    static mf_device *device;
    if (!device)
        ok(mf_device_open(getenv("MASSFLOW_DEVICE"), &device));
    return device;
}

/* Prints what is wrong. */
static bool right(const mf_check_case *c, mf_device *device)
{
    mf_check_result r;
    ok(mf_check_case_run(c, device, &r, NULL));
    if (!r.wrong)
        return true;
    const char *form = mf_check_form_text(mf_check_form_of(device));
    if (r.error[0])
        fprintf(stderr, "%s, %s form: %s\n", r.text, form, r.error);
    else
        fprintf(stderr, "%s, %s form: %s is %.9g, should be %.9g, may differ by %.2g\n", r.text,
                form, r.what, r.got, r.want, r.bound);
    return false;
}

void check_family(const char *family)
{
    mf_check_list list;
    mf_device *own = test_device(), *other;
    size_t wrong = 0;
    ok(mf_check_list_make(family, &list));
    ok(mf_check_device(own, !mf_check_form_of(own), &other));
    for (size_t i = 0; i < list.count; i++) {
        const mf_check_case *c = &list.cases[i];
        wrong += !right(c, own);
        if (!c->thorough && !c->model)
            wrong += !right(c, other);
    }
    mf_device_unref(other);
    mf_check_list_clear(&list);
    ck_assert_msg(!wrong, "%zu cases of %s are wrong", wrong, family);
}

void refuses(mf_value (*build)(mf_program *p), const char *expected)
{
    mf_program *p;
    mf_weights *weights;
    mf_executable *e = NULL;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &weights));
    ck_assert_int_lt(build(p).id, 0);
    mf_status status = mf_program_compile(p, weights, &e);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status), expected);
    mf_error_free(status);
    mf_weights_free(weights);
    mf_program_free(p);
}
