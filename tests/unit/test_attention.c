/* test_attention.c - attention against softmax in double, with the gradients of q, k and v. */
#include "../run_suite.h"
#include "gradients.h"

typedef struct sides {
    int n, l, s, heads, head;
} sides;

static mf_value build_attention(mf_program *p, const mf_value *x, const void *parameters)
{
    return mf_attention(p, x[0], x[1], x[2], ((const sides *)parameters)->heads);
}

/* One head of one batch in double: rows are C apart. Results and the sums of the magnitudes of
 * what they are made from, by which the tolerance is scaled. */
typedef struct reference {
    double *o, *dq, *dk, *dv, *o_size, *dq_size, *dk_size, *dv_size;
} reference;

static void attend(const sides *z, const float *q, const float *k, const float *v, const float *g,
                   const reference *r, double *worst)
{
    const int c = z->heads * z->head;
    const double scale = 1 / sqrt(z->head);
    double *p = malloc((size_t)z->s * sizeof(double)), *dp = malloc((size_t)z->s * sizeof(double));
    double *dp_size = malloc((size_t)z->s * sizeof(double));
    for (int i = 0; i < z->l; i++) {
        double top = -INFINITY, total = 0, delta = 0, delta_size = 0;
        for (int j = 0; j < z->s; j++) {
            double dot = 0, size = 0;
            for (int d = 0; d < z->head; d++) {
                dot += (double)q[i * c + d] * k[j * c + d];
                size += fabs((double)q[i * c + d] * k[j * c + d]);
            }
            p[j] = dot * scale;
            *worst = fmax(*worst, size * scale);
            top = fmax(top, p[j]);
        }
        for (int j = 0; j < z->s; j++)
            total += p[j] = exp(p[j] - top);
        for (int j = 0; j < z->s; j++) {
            p[j] /= total;
            dp[j] = dp_size[j] = 0;
            for (int d = 0; d < z->head; d++) {
                const double term = (double)g[i * c + d] * v[j * c + d];
                dp[j] += term;
                dp_size[j] += fabs(term);
                r->o[i * c + d] += p[j] * v[j * c + d];
                r->o_size[i * c + d] += p[j] * fabs(v[j * c + d]);
                r->dv[j * c + d] += p[j] * g[i * c + d];
                r->dv_size[j * c + d] += p[j] * fabs(g[i * c + d]);
            }
            delta += p[j] * dp[j];
            delta_size += p[j] * dp_size[j];
        }
        for (int j = 0; j < z->s; j++) {
            const double ds = p[j] * (dp[j] - delta) * scale;
            const double ds_size = p[j] * (dp_size[j] + delta_size) * scale;
            for (int d = 0; d < z->head; d++) {
                r->dq[i * c + d] += ds * k[j * c + d];
                r->dq_size[i * c + d] += ds_size * fabs(k[j * c + d]);
                r->dk[j * c + d] += ds * q[i * c + d];
                r->dk_size[j * c + d] += ds_size * fabs(q[i * c + d]);
            }
        }
    }
    free(p);
    free(dp);
    free(dp_size);
}

static void compare(const char *what, const float *got, const double *value, const double *size,
                    int64_t count, double relative)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - value[i]) <= relative * size[i]))
            ck_abort_msg("%s [%lld]: %.9g, not %.9g within %.2g", what, (long long)i,
                         (double)got[i], value[i], relative * size[i]);
}

static void check_attention(const char *form, sides z)
{
    const int64_t c = (int64_t)z.heads * z.head;
    trial t = {.form = form,
               .operands = 3,
               .build = build_attention,
               .parameters = &z,
               .rank = {3, 3, 3},
               .shape = {{z.n, z.l, c}, {z.n, z.s, c}, {z.n, z.s, c}}};
    trial_run(&t);
    ck_assert_int_eq(t.results, z.n * z.l * c);
    double *memory = calloc((size_t)(4 * z.n * (z.l + z.s) * c), sizeof(double)), *next = memory;
    double *parts[8];
    for (int k = 0; k < 8; k++) {
        parts[k] = next;
        next += (k % 4 < 2 ? z.l : z.s) * z.n * c;
    }
    double worst = 0;
    for (int n = 0; n < z.n; n++)
        for (int h = 0; h < z.heads; h++) {
            const int64_t at_l = n * z.l * c + h * z.head, at_s = n * z.s * c + h * z.head;
            const reference r = {parts[0] + at_l, parts[1] + at_l, parts[2] + at_s,
                                 parts[3] + at_s, parts[4] + at_l, parts[5] + at_l,
                                 parts[6] + at_s, parts[7] + at_s};
            attend(&z, t.x[0] + at_l, t.x[1] + at_s, t.x[2] + at_s, t.cotangent + at_l, &r, &worst);
        }
    /* A probability's relative error is twice its score's absolute one (its own and the
     * normalization's) and a few roundings of exp, log and their arguments; then come sums of
     * `head` and of l or s terms. */
    const double relative = FLT_EPSILON * (4 * sqrt(z.head) * worst + 16 + 2 * sqrt(z.head) +
                                           2 * sqrt(z.l > z.s ? (double)z.l : (double)z.s));
    compare("o", t.result, parts[0], parts[4], z.n * z.l * c, relative);
    compare("dq", t.gradient[0], parts[1], parts[5], z.n * z.l * c, relative);
    compare("dk", t.gradient[1], parts[2], parts[6], z.n * z.s * c, relative);
    compare("dv", t.gradient[2], parts[3], parts[7], z.n * z.s * c, relative);
    free(memory);
    trial_free(&t);
}

START_TEST(attention_equals_softmax_in_double)
{
    check_attention("", (sides){1, 11, 70, 2, 32});
    check_attention("", (sides){2, 67, 11, 1, 32});
    check_attention("", (sides){1, 1, 1, 3, 8});
    check_attention("", (sides){1, 33, 32, 2, 24});
    check_attention("", (sides){1, 9, 40, 1, 64});
    check_attention("", (sides){2, 5, 6, 2, 3});
    check_attention("", (sides){1, 140, 70, 1, 72}); /* more queries than one work-item takes */
    check_attention("", (sides){1, 17, 131, 1, 256});
    check_attention("", (sides){1, 9, 66, 2, 80});
    check_attention("", (sides){1, 8, 5, 1, 112});
    check_attention("", (sides){4, 30, 70, 2, 72}); /* each work-item packs for itself */
    check_attention("", (sides){8, 11, 67, 1, 256});
}
END_TEST

START_TEST(attention_equals_softmax_in_double_in_gpu_form)
{
    check_attention("gpu", (sides){2, 11, 70, 2, 32});
    check_attention("gpu", (sides){1, 70, 5, 1, 3});
    check_attention("gpu", (sides){1, 65, 131, 2, 16});
    check_attention("gpu", (sides){2, 9, 67, 1, 56});
    check_attention("gpu", (sides){1, 67, 129, 1, 256});
    check_attention("gpu", (sides){1, 3, 65, 2, 301}); /* a head in two parts */
    check_attention("gpu", (sides){2, 5, 333, 2, 16}); /* keys in two shares */
}
END_TEST

static mf_value attention_of_wrong_heads(mf_program *p)
{
    const mf_value x = mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 11, 32});
    return mf_attention(p, x, x, x, 3);
}

static mf_value attention_of_wrong_values(mf_program *p)
{
    return mf_attention(p, mf_input(p, "q", MF_F32, 3, (int64_t[]){1, 11, 32}),
                        mf_input(p, "k", MF_F32, 3, (int64_t[]){1, 64, 32}),
                        mf_input(p, "v", MF_F32, 3, (int64_t[]){1, 63, 32}), 1);
}

static mf_value attention_of_too_many_channels(mf_program *p)
{
    const mf_value x = mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 1, 1 << 25});
    return mf_attention(p, x, x, x, 1 << 15);
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    trial_refuses(attention_of_wrong_heads,
                  "attention: 32 channels do not make 3 heads of 1 to 1024 channels");
    trial_refuses(attention_of_wrong_values,
                  "attention: q is [1,11,32], but k is [1,64,32] and v is [1,63,32]");
    trial_refuses(attention_of_too_many_channels,
                  "attention: 33554432 channels, not 1 to 33554431");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, attention_equals_softmax_in_double);
    tcase_add_test(tests, attention_equals_softmax_in_double_in_gpu_form);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
