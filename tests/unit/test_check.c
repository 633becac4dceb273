/* test_check.c - the list of checks: its references against central differences, and what is said
 * of results that are wrong. */
#include "../run_suite.h"
#include "check/case.h"
#include "check/reference.h"
#include "checked.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- references ------------------------------------------------------------------------------ */

typedef struct host {
    const mf_check_case *c;
    double *x[MF_CHECK_INPUTS], *g;
    mf_check_number *value, *dx[MF_CHECK_INPUTS];
    int64_t count;
} host;

/* Elements of the op's value. */
static int64_t value_count(const mf_check_case *c)
{
    mf_program *p;
    mf_value in[MF_CHECK_INPUTS];
    static const char *const names[MF_CHECK_INPUTS] = {"a", "b", "c", "d", "e"};
    ok(mf_program_new(&p));
    for (int k = 0; k < c->inputs; k++)
        in[k] = mf_input(p, names[k], c->in[k].kind == MF_CHECK_MASK ? MF_U8 : MF_F32,
                         c->in[k].rank, c->in[k].dim);
    int64_t count = mf_count(p, c->op->build(p, in, c));
    ok(mf_program_status(p));
    mf_program_free(p);
    return count;
}

static host begin(const mf_check_case *c)
{
    host h = {.c = c, .count = value_count(c)};
    uint64_t state = 4711;
    for (int k = 0; k < c->inputs; k++) {
        int64_t n = mf_check_count(c, k);
        bool usual = c->in[k].low == 0 && c->in[k].high == 0;
        double low = usual ? -2 : c->in[k].low, high = usual ? 2 : c->in[k].high;
        h.x[k] = calloc((size_t)n, sizeof(double));
        for (int64_t i = 0; i < n; i++)
            h.x[k][i] = c->in[k].kind == MF_CHECK_MASK
                            ? (double)(mf_check_uniform(&state) < 0.4)
                            : low + (high - low) * mf_check_uniform(&state);
        if (c->in[k].kind == MF_CHECK_TRAINED || c->in[k].kind == MF_CHECK_FOLLOWER)
            h.dx[k] = calloc((size_t)n, sizeof(mf_check_number));
    }
    if (c->op->prepare)
        c->op->prepare(c, h.x);
    h.g = calloc((size_t)h.count, sizeof(double));
    for (int64_t i = 0; i < h.count; i++)
        h.g[i] = 2 * mf_check_uniform(&state) - 1;
    h.value = calloc((size_t)h.count, sizeof(mf_check_number));
    return h;
}

static void end(host *h)
{
    for (int k = 0; k < MF_CHECK_INPUTS; k++) {
        free(h->x[k]);
        free(h->dx[k]);
    }
    free(h->g);
    free(h->value);
}

/* <g, value> at x, and the sum of the magnitudes. */
static double loss(host *h, double *size)
{
    double all = 0;
    memset(h->value, 0, (size_t)h->count * sizeof *h->value);
    h->c->op->value(h->c, h->x, h->value);
    *size = 0;
    for (int64_t i = 0; i < h->count; i++) {
        all += h->g[i] * h->value[i].value;
        *size += fabs(h->g[i] * h->value[i].value);
    }
    return all;
}

/* Rounding in double of both losses, and what the third derivative leaves of a central difference
 * (values and derivatives of the ops are of size 1 to some hundreds). */
static void check_gradient(host *h, int k, int64_t i, const char *text)
{
    const double step = 1e-5;
    double x = h->x[k][i], size;
    h->x[k][i] = x + step;
    double above = loss(h, &size);
    h->x[k][i] = x - step;
    double below = loss(h, &size);
    h->x[k][i] = x;
    double want = (above - below) / (2 * step), got = h->dx[k][i].value;
    double bound = 64 * DBL_EPSILON * (size + 1) / step + 1e-7 * h->dx[k][i].size + 1e-9;
    ck_assert_msg(fabs(got - want) <= bound,
                  "%s: gradient of input %d [%lld] is %.12g, by differences %.12g", text, k,
                  (long long)i, got, want);
    ck_assert_msg(h->dx[k][i].size >= 0.999 * fabs(got), "%s: size %g of gradient %g", text,
                  h->dx[k][i].size, got);
}

START_TEST(gradients_of_references_are_their_derivatives)
{
    mf_check_list list;
    int checked = 0;
    ok(mf_check_list_make(NULL, &list));
    for (size_t n = 0; n < list.count; n++) {
        const mf_check_case *c = &list.cases[n];
        char text[160];
        if (!c->op->gradient || c->model || mf_check_count(c, 0) > 3000)
            continue;
        host h = begin(c);
        mf_check_case_text(c, text, sizeof text);
        c->op->gradient(c, h.x, h.count, h.g, h.dx);
        for (int k = 0; k < c->inputs; k++)
            for (int64_t i = 0, all = mf_check_count(c, k);
                 h.dx[k] && c->in[k].kind == MF_CHECK_TRAINED && i < all; i += 1 + all / 12)
                check_gradient(&h, k, i, text);
        end(&h);
        checked++;
    }
    ck_assert_int_gt(checked, 100);
    mf_check_list_clear(&list);
}
END_TEST

/* ---- what is said of wrong results ----------------------------------------------------------- */

static mf_value build_scale(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_scale(p, in[0], 3);
}

/* Right but for the element of the parameter. */
static void value_scale(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] * 3 + (i == c->i[0] ? 1 : 0));
}

static void gradient_scale(const mf_check_case *c, double *const *in, int64_t count,
                           const double *g, mf_check_number *const *dx)
{
    (void)in;
    for (int64_t i = 0; i < count; i++)
        mf_term(&dx[0][i], g[i] * (i == c->i[1] ? 4 : 3));
}

static const mf_check_op op_scale = {"scale", build_scale, value_scale, gradient_scale, {0.5, 0.5}};

static mf_check_result run_scale(int64_t wrong_value, int64_t wrong_gradient)
{
    const mf_check_case c = {
        &op_scale, 1, {{2, {3, 7}, .low = 1, .high = 2}}, {wrong_value, wrong_gradient}};
    mf_check_result r;
    ok(mf_check_case_run(&c, test_device(), &r, NULL));
    return r;
}

START_TEST(wrong_elements_are_named)
{
    mf_check_result r = run_scale(-1, -1);
    ck_assert(!r.wrong);
    ck_assert_double_le(r.ratio, 1);
    ck_assert_str_eq(r.text, "scale [3,7] -1,-1");
    r = run_scale(16, -1);
    ck_assert(r.wrong);
    ck_assert_str_eq(r.what, "value [2,2]");
    ck_assert_double_eq_tol(r.want - r.got, 1, 1e-6);
    ck_assert_double_gt(r.ratio, 1e5);
    r = run_scale(-1, 9);
    ck_assert(r.wrong);
    ck_assert_str_eq(r.what, "gradient of input 0 [1,2]");
    ck_assert_double_eq_tol(r.want / r.got, 4.0 / 3, 1e-6);
}
END_TEST

START_TEST(no_number_is_wrong_whatever_the_bound)
{
    const int64_t shape[] = {2};
    const mf_check_number want[2] = {{1, 1e30, 1}, {1, 1e30, 1}};
    mf_check_result r = {.ratio = 0};
    mf_check_compare(&r, "value", 1, shape, 2, (const float[]){1, 5}, want, 1);
    ck_assert(!r.wrong);
    mf_check_compare(&r, "value", 1, shape, 2, (const float[]){1, NAN}, want, 1);
    ck_assert(r.wrong);
    ck_assert(isinf(r.ratio));
    ck_assert_str_eq(r.what, "value [1]");
}
END_TEST

/* What only moves must be the same bits. */
START_TEST(a_bound_of_nothing_is_equality)
{
    const int64_t shape[] = {1};
    mf_check_result r = {.ratio = 0};
    const mf_check_number want = {1, 1, 1};
    ck_assert_double_eq(mf_check_bound(&want, 0), 0);
    mf_check_compare(&r, "value", 1, shape, 1, (const float[]){1}, &want, 0);
    ck_assert(!r.wrong);
    mf_check_compare(&r, "value", 1, shape, 1, (const float[]){nextafterf(1, 2)}, &want, 0);
    ck_assert(r.wrong);
}
END_TEST

static mf_value build_too_deep(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_max_pool2(p, in[0]);
}

/* An error of the device or of the program ends a case, not the check. */
START_TEST(errors_are_results)
{
    static const mf_check_op op = {"max_pool2", build_too_deep, value_scale, NULL, {0, 0}};
    const mf_check_case c = {&op, 1, {{5, {1, 1, 1, 1, 1}}}};
    mf_check_result r;
    ok(mf_check_case_run(&c, test_device(), &r, NULL));
    ck_assert(r.wrong);
    ck_assert_msg(strstr(r.error, "max_pool2 of [1,1,1,1,1]") != NULL, "%s", r.error);
}
END_TEST

/* Both small models, in both forms. */
START_TEST(models_are_right_from_end_to_end)
{
    check_family("model");
}
END_TEST

/* ---- running --------------------------------------------------------------------------------- */

typedef struct log {
    size_t begun, ended, wrong;
    mf_check_form forms[2048];
    char text[160];
    bool in_order;
} log_;

static void on_begin(void *self, mf_check_form form, const char *op, const char *text)
{
    log_ *l = self;
    (void)op;
    l->in_order &= l->begun == l->ended;
    l->forms[l->begun++] = form;
    ck_assert(strlen(text) < sizeof l->text);
    strcpy(l->text, text);
}

static void on_end(void *self, mf_check_form form, const char *op, const mf_check_result *r,
                   const mf_check_labels *labels)
{
    log_ *l = self;
    (void)op;
    l->in_order &= l->begun == l->ended + 1 && form == l->forms[l->ended];
    l->in_order &= !strcmp(r->text, l->text) && (labels->count > 0 || strstr(r->text, "reshape"));
    l->ended++;
    l->wrong += r->wrong;
}

START_TEST(the_short_form_has_each_op)
{
    mf_check_list list;
    ok(mf_check_list_make(NULL, &list));
    for (size_t i = 0; i < list.count; i++) {
        const mf_check_op *op = list.cases[i].op;
        int quick = 0, expected = strncmp(op->name, "model: ", 7) != 0;
        for (size_t k = 0; k < list.count; k++)
            quick += list.cases[k].op == op && list.cases[k].quick;
        ck_assert_msg(quick >= expected && quick <= 2 * expected, "%s has %d quick cases", op->name,
                      quick);
    }
    mf_check_list_clear(&list);
}
END_TEST

START_TEST(forms_and_skipped_cases)
{
    log_ all = {.in_order = true}, rest = {.in_order = true};
    mf_check_options options = {.depth = MF_CHECK_QUICK, .forms = {true, true}, .only = "scale"};
    size_t wrong;
    mf_check_form own = mf_check_form_of(test_device());
    ok(mf_check_run(test_device(), &options, &(mf_check_observer){&all, on_begin, on_end}, &wrong));
    ck_assert(all.in_order);
    ck_assert_uint_eq(all.ended, 2);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_int_eq(all.forms[0], own);
    ck_assert_int_eq(all.forms[1], !own);
    options.skip = 1;
    ok(mf_check_run(test_device(), &options, &(mf_check_observer){&rest, on_begin, on_end},
                    &wrong));
    ck_assert_uint_eq(rest.ended, 1);
    ck_assert_int_eq(rest.forms[0], !own);
}
END_TEST

START_TEST(unknown_families_are_refused)
{
    mf_check_list list;
    fails(mf_check_list_make("wavelets", &list), "no family of ops is called wavelets");
    mf_check_list_clear(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *t = tcase_create("check");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, gradients_of_references_are_their_derivatives);
    tcase_add_test(t, wrong_elements_are_named);
    tcase_add_test(t, no_number_is_wrong_whatever_the_bound);
    tcase_add_test(t, a_bound_of_nothing_is_equality);
    tcase_add_test(t, errors_are_results);
    tcase_add_test(t, models_are_right_from_end_to_end);
    tcase_add_test(t, the_short_form_has_each_op);
    tcase_add_test(t, forms_and_skipped_cases);
    tcase_add_test(t, unknown_families_are_refused);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
