/* attention.c - reference of attention: softmax of all scores, with the gradients of q, k and v. */
#include "check/reference.h"

#include <stdlib.h>

/* q [N,L,C], k and v [N,S,C]; i: heads */
static mf_value build_attention(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_attention(p, in[0], in[1], in[2], (int)c->i[0]);
}

typedef struct sides {
    int64_t n, l, s, c, head;
} sides;

static sides sides_of(const mf_check_case *c)
{
    const int64_t *q = c->in[0].dim;
    return (sides){q[0], q[1], c->in[1].dim[1], q[2], q[2] / c->i[0]};
}

/* Probabilities p [S] of query i, and the sum of the magnitudes of its largest score. */
static double scores(sides z, const double *q, const double *k, double *p)
{
    double top = -INFINITY, total = 0, worst = 0, scale = 1 / sqrt((double)z.head);
    for (int64_t j = 0; j < z.s; j++) {
        double dot = 0, size = 0;
        for (int64_t d = 0; d < z.head; d++) {
            dot += q[d] * k[j * z.c + d];
            size += fabs(q[d] * k[j * z.c + d]);
        }
        p[j] = dot * scale;
        worst = fmax(worst, size * scale);
        top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < z.s; j++)
        total += p[j] = exp(p[j] - top);
    for (int64_t j = 0; j < z.s; j++)
        p[j] /= total;
    return worst;
}

/* What a result is wrong by, relative to its size: a probability's relative error is twice its
 * score's absolute one (its own and the normalization's) and a few roundings of exp, log and their
 * arguments; then come sums of `head` terms, and of queries or keys. */
static double relative(sides z, double worst)
{
    return 4 * sqrt((double)z.head) * worst + 16 + 2 * sqrt((double)z.head) +
           2 * sqrt((double)(z.l > z.s ? z.l : z.s));
}

static void add(mf_check_number *n, double term, double size)
{
    n->value += term;
    n->size += size;
}

/* One query of one head. g is NULL for the value alone. at_l, at_s: where its rows begin. */
static void attend(sides z, int64_t at_l, int64_t at_s, double *const *in, const double *g,
                   double *p, mf_check_number *out, mf_check_number *const *dx)
{
    const double *q = in[0] + at_l, *k = in[1] + at_s, *v = in[2] + at_s;
    const double worst = relative(z, scores(z, q, k, p)), scale = 1 / sqrt((double)z.head);
    double delta = 0, delta_size = 0;
    for (int64_t j = 0; out && j < z.s; j++)
        for (int64_t d = 0; d < z.head; d++)
            add(&out[at_l + d], p[j] * v[j * z.c + d], worst * p[j] * fabs(v[j * z.c + d]));
    for (int64_t j = 0; g && j < z.s; j++)
        for (int64_t d = 0; d < z.head; d++) {
            double term = p[j] * g[at_l + d] * v[j * z.c + d];
            delta += term;
            delta_size += fabs(term);
        }
    for (int64_t j = 0; g && j < z.s; j++) {
        double dot = 0, size = 0;
        for (int64_t d = 0; d < z.head; d++) {
            dot += g[at_l + d] * v[j * z.c + d];
            size += fabs(g[at_l + d] * v[j * z.c + d]);
            add(&dx[2][at_s + j * z.c + d], p[j] * g[at_l + d], worst * p[j] * fabs(g[at_l + d]));
        }
        double ds = p[j] * (dot - delta) * scale, ds_size = p[j] * (size + delta_size) * scale;
        for (int64_t d = 0; d < z.head; d++) {
            add(&dx[0][at_l + d], ds * k[j * z.c + d], worst * ds_size * fabs(k[j * z.c + d]));
            add(&dx[1][at_s + j * z.c + d], ds * q[d], worst * ds_size * fabs(q[d]));
        }
    }
}

static void attend_all(const mf_check_case *c, double *const *in, const double *g,
                       mf_check_number *out, mf_check_number *const *dx)
{
    sides z = sides_of(c);
    double *p = malloc((size_t)z.s * sizeof *p);
    for (int64_t n = 0; p && n < z.n; n++)
        for (int64_t h = 0; h < c->i[0]; h++)
            for (int64_t i = 0; i < z.l; i++)
                attend(z, (n * z.l + i) * z.c + h * z.head, n * z.s * z.c + h * z.head, in, g, p,
                       out, dx);
    free(p);
}

static void value_attention(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    attend_all(c, in, NULL, out, NULL);
}

static void gradient_attention(const mf_check_case *c, double *const *in, int64_t count,
                               const double *g, mf_check_number *const *dx)
{
    (void)count;
    attend_all(c, in, g, NULL, dx);
}

static double work_attention(const mf_check_case *c)
{
    sides z = sides_of(c);
    return 4.0 * (double)(z.n * z.c) * (double)(z.l * z.s);
}

static const mf_check_op op_attention = {"attention",     build_attention,
                                         value_attention, gradient_attention,
                                         {1, 1},          .work = work_attention};

void mf_check_attention(mf_check_list *list)
{
    static const struct {
        int64_t n, l, s, heads, head;
        bool quick, model, thorough;
    } cases[] = {
        {1, 11, 70, 2, 32, .quick = true},
        {2, 67, 11, 1, 32},
        {2, 5, 333, 2, 32},                  /* keys in two shares */
        {1, 33, 512, 8, 32, .model = true},  /* task tokens to sites */
        {9, 64, 64, 2, 96, .model = true},   /* windows of SAM 2's encoder */
        {1, 67, 131, 1, 256, .model = true}, /* its memory attention */
        {1, 1, 1, 3, 8, .thorough = true},
        {1, 33, 32, 2, 24, .thorough = true},
        {1, 9, 40, 1, 64, .thorough = true},
        {2, 5, 6, 2, 3, .thorough = true},
        {1, 140, 70, 1, 72, .thorough = true}, /* more queries than one work-item takes */
        {1, 17, 131, 1, 256, .thorough = true},
        {1, 9, 66, 2, 80, .thorough = true},
        {1, 8, 5, 1, 112, .thorough = true},
        {4, 30, 70, 2, 72, .thorough = true}, /* each work-item packs for itself */
        {8, 11, 67, 1, 256, .thorough = true},
        {1, 70, 5, 1, 3, .thorough = true},
        {1, 65, 131, 2, 16, .thorough = true},
        {2, 5, 333, 2, 16, .thorough = true},
        {2, 9, 67, 1, 56, .thorough = true},
        {1, 67, 129, 1, 256, .thorough = true},
        {1, 3, 65, 2, 301, .thorough = true}, /* a head in two parts */
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        int64_t channels = cases[i].heads * cases[i].head;
        mf_check_add(
            list,
            (mf_check_case){.op = &op_attention,
                            .inputs = 3,
                            .in = {{3, {cases[i].n, cases[i].l, channels}, .low = -1, .high = 1},
                                   {3, {cases[i].n, cases[i].s, channels}, .low = -1, .high = 1},
                                   {3, {cases[i].n, cases[i].s, channels}, .low = -1, .high = 1}},
                            .i = {cases[i].heads},
                            .quick = cases[i].quick,
                            .thorough = cases[i].thorough,
                            .model = cases[i].model});
    }
}
