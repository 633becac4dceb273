/* matmul.c - references of products of matrices and of linear layers, with their gradients. */
#include "check/reference.h"
#include "program/ops/shared.h"

/* ---- products; i: whether b is [B,N,K] --------------------------------------------------------
 */

typedef struct sides {
    int64_t batch, m, n, k;
} sides;

static sides sides_of(const mf_check_case *c)
{
    return (sides){c->in[0].dim[0], c->in[0].dim[1], c->in[1].dim[c->i[0] ? 1 : 2],
                   c->in[0].dim[2]};
}

static mf_value build_product(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return c->i[0] ? mf_matmul_nt(p, in[0], in[1]) : mf_matmul_nn(p, in[0], in[1]);
}

/* Element (k, n) of b in batch z. */
static int64_t at_b(const mf_check_case *c, sides s, int64_t z, int64_t k, int64_t n)
{
    return z * s.n * s.k + (c->i[0] ? n * s.k + k : k * s.n + n);
}

static void value_product(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    sides s = sides_of(c);
    for (int64_t z = 0; z < s.batch; z++)
        for (int64_t m = 0; m < s.m; m++)
            for (int64_t n = 0; n < s.n; n++)
                for (int64_t k = 0; k < s.k; k++)
                    mf_term(&out[(z * s.m + m) * s.n + n],
                            in[0][(z * s.m + m) * s.k + k] * in[1][at_b(c, s, z, k, n)]);
}

static void gradient_product(const mf_check_case *c, double *const *in, int64_t count,
                             const double *g, mf_check_number *const *dx)
{
    sides s = sides_of(c);
    (void)count;
    for (int64_t z = 0; z < s.batch; z++)
        for (int64_t m = 0; m < s.m; m++)
            for (int64_t n = 0; n < s.n; n++)
                for (int64_t k = 0; k < s.k; k++) {
                    int64_t a = (z * s.m + m) * s.k + k, b = at_b(c, s, z, k, n);
                    double v = g[(z * s.m + m) * s.n + n];
                    mf_term(&dx[0][a], v * in[1][b]);
                    mf_term(&dx[1][b], v * in[0][a]);
                }
}

static double work_product(const mf_check_case *c)
{
    sides s = sides_of(c);
    return 2.0 * (double)(s.batch * s.m) * (double)(s.n * s.k);
}

static const mf_check_op op_product[] = {
    {"matmul_nn", build_product, value_product, gradient_product, {0.5, 0.5}, .work = work_product},
    {"matmul_nt", build_product, value_product, gradient_product, {0.5, 0.5}, .work = work_product},
};

/* a [B,K,M], b [B,K,N] -> a^T b: what gradients of the others use. */
static mf_value build_tn(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_matmul_tn(p, in[0], in[1]);
}

static void value_tn(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t k = c->in[0].dim[1], m = c->in[0].dim[2], n = c->in[1].dim[2];
    for (int64_t z = 0; z < c->in[0].dim[0]; z++)
        for (int64_t e = 0; e < m * n; e++)
            for (int64_t q = 0; q < k; q++)
                mf_term(&out[z * m * n + e],
                        in[0][(z * k + q) * m + e / n] * in[1][(z * k + q) * n + e % n]);
}

static double work_tn(const mf_check_case *c)
{
    return 2.0 * (double)mf_check_count(c, 0) * (double)c->in[1].dim[2];
}

static const mf_check_op op_tn = {"matmul_tn", build_tn,   value_tn,
                                  NULL,        {0.5, 0.5}, .work = work_tn};

/* ---- linear layers: x [rows,I], weight [O,I], bias [O] or none ------------------------------- */

static mf_value build_linear(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_linear(p, in[0], in[1], c->inputs > 2 ? in[2] : MF_NONE);
}

static void value_linear(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t o = c->in[1].dim[0], n = c->in[1].dim[1], rows = mf_check_count(c, 0) / n;
    for (int64_t e = 0; e < rows * o; e++) {
        if (c->inputs > 2)
            mf_term(&out[e], in[2][e % o]);
        for (int64_t i = 0; i < n; i++)
            mf_term(&out[e], in[0][e / o * n + i] * in[1][e % o * n + i]);
    }
}

static void gradient_linear(const mf_check_case *c, double *const *in, int64_t count,
                            const double *g, mf_check_number *const *dx)
{
    int64_t o = c->in[1].dim[0], n = c->in[1].dim[1];
    for (int64_t e = 0; e < count; e++) {
        if (c->inputs > 2)
            mf_term(&dx[2][e % o], g[e]);
        for (int64_t i = 0; i < n; i++) {
            mf_term(&dx[0][e / o * n + i], g[e] * in[1][e % o * n + i]);
            mf_term(&dx[1][e % o * n + i], g[e] * in[0][e / o * n + i]);
        }
    }
}

static double work_linear(const mf_check_case *c)
{
    return 2.0 * (double)mf_check_count(c, 0) * (double)c->in[1].dim[0];
}

static const mf_check_op op_linear = {"linear",        build_linear, value_linear,
                                      gradient_linear, {0.5, 0.5},   .work = work_linear};

/* Tails of every tile, one row, few against many (either way round), sums long enough for chunks, a
 * sum in parts, launch after launch; then a layer of the model. */
static const struct {
    int64_t batch, m, n, k;
    bool quick, model, thorough;
} products[] = {
    {1, 1, 1, 1},
    {2, 37, 50, 45, .quick = true},
    {1, 1000, 256, 300, .model = true},
    {2, 5, 3, 7, .thorough = true},
    {1, 64, 64, 32, .thorough = true},
    {1, 3, 700, 32, .thorough = true},
    {1, 700, 13, 32, .thorough = true},
    {2, 13, 48, 8, .thorough = true},
    {1, 13, 32, 3000}, /* a sum in chunks */
};

static void add_products(mf_check_list *list)
{
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < COUNT_OF(products); i++)
            mf_check_add(
                list, (mf_check_case){.op = &op_product[t],
                                      .inputs = 2,
                                      .in = {{3, {products[i].batch, products[i].m, products[i].k}},
                                             {3,
                                              {products[i].batch, t ? products[i].n : products[i].k,
                                               t ? products[i].k : products[i].n}}},
                                      .i = {t},
                                      .quick = products[i].quick,
                                      .thorough = products[i].thorough,
                                      .model = products[i].model});
    for (int i = 0; i < COUNT_OF(products); i++)
        mf_check_add(
            list,
            (mf_check_case){
                .op = &op_tn,
                .inputs = 2,
                .in = {{3, {products[i].batch, products[i].k, products[i].m}, MF_CHECK_CONSTANT},
                       {3, {products[i].batch, products[i].k, products[i].n}, MF_CHECK_CONSTANT}},
                .quick = products[i].quick,
                .thorough = products[i].thorough,
                .model = products[i].model});
}

void mf_check_matmul(mf_check_list *list)
{
    static const struct {
        int64_t rows, in, out;
        bool bias, quick, model, thorough;
    } layers[] = {
        {150, 20, 70, true, .quick = true},    {1, 5, 3, true},
        {512, 256, 768, true, .model = true},  {11, 32, 96, true, .thorough = true},
        {300, 48, 8, false, .thorough = true}, {1111, 24, 40, true, .thorough = true},
    };
    add_products(list);
    for (int i = 0; i < COUNT_OF(layers); i++)
        mf_check_add(list, (mf_check_case){.op = &op_linear,
                                           .inputs = layers[i].bias ? 3 : 2,
                                           .in = {{3, {1, layers[i].rows, layers[i].in}},
                                                  {2, {layers[i].out, layers[i].in}},
                                                  {1, {layers[i].out}}},
                                           .quick = layers[i].quick,
                                           .thorough = layers[i].thorough,
                                           .model = layers[i].model});
}
