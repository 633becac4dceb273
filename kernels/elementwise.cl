/* elementwise.cl - one element out for one element in. Operands may be the same memory (in place),
 * so nothing is restrict. */
#include "common.clh"

#define X __global const float *
#define Y __global float *
#define HERE                                                                                       \
    long i = (long)get_global_id(0) * WIDE;                                                        \
    long left = n - i;                                                                             \
    if (left <= 0)                                                                                 \
        return;

ITEMS __kernel void fill(long n, float value, Y y)
{
    HERE
    store((wide)(value), y + i, left);
}

ITEMS __kernel void add(long n, X a, X b, Y y)
{
    HERE
    store(load(a + i, left) + load(b + i, left), y + i, left);
}

ITEMS __kernel void mul(long n, X a, X b, Y y)
{
    HERE
    store(load(a + i, left) * load(b + i, left), y + i, left);
}

ITEMS __kernel void scale(long n, float factor, X x, Y y)
{
    HERE
    store(factor * load(x + i, left), y + i, left);
}

ITEMS __kernel void to_float(long n, __global const uchar *x, Y y)
{
    HERE
    store(load_u8(x + i, left), y + i, left);
}

#define SQRT_HALF 0.70710678118654752f
#define INVERSE_SQRT_2PI 0.39894228040143268f

static inline wide logistic(wide x)
{
    /* exp of a negative number only: nothing overflows */
    wide e = exp(-fabs(x));
    return select(e, (wide)(1.0f), x >= 0.0f) / (1.0f + e);
}

/* x P(x^2) / Q(x^2), fitted to 2e-8 on [-3.9, 3.9], where erf has reached 1 in floats; in floats it
 * is exact to 4e-7. A library's erf takes ten times as long on a CPU. */
static inline wide wide_erf(wide x)
{
    x = fmin(fmax(x, -3.9f), 3.9f);
    const wide u = x * x;
    wide p = 2.066476473e-06f * u + 2.850433687e-04f;
    p = p * u + 3.737796718e-03f;
    p = p * u + 5.266634530e-02f;
    p = p * u + 1.896549367e-01f;
    p = p * u + 1.128379148f;
    wide q = 3.826907676e-05f * u + 1.157231331e-03f;
    q = q * u + 1.491317428e-02f;
    q = q * u + 1.138138967e-01f;
    q = q * u + 5.014100957e-01f;
    q = q * u + 1.0f;
    return fmin(fmax(x * p / q, -1.0f), 1.0f);
}

static inline wide normal_cdf(wide x)
{
    return 0.5f + 0.5f * wide_erf(SQRT_HALF * x);
}

#define UNARY(name, expression)                                                                    \
    ITEMS __kernel void name(long n, X in, Y out)                                                  \
    {                                                                                              \
        HERE                                                                                       \
        wide x = load(in + i, left);                                                               \
        store(expression, out + i, left);                                                          \
    }
UNARY(relu, fmax(x, 0.0f))
UNARY(gelu, x *normal_cdf(x))
UNARY(sigmoid, logistic(x))
UNARY(tanh_, tanh(x))

/* dx from g = d loss / dy and x or, where the derivative is simpler in it, y. */
#define UNARY_GRADIENT(name, x, expression)                                                        \
    ITEMS __kernel void name(long n, X in, X grad, Y out)                                          \
    {                                                                                              \
        HERE                                                                                       \
        wide x = load(in + i, left);                                                               \
        wide g = load(grad + i, left);                                                             \
        store(expression, out + i, left);                                                          \
    }
UNARY_GRADIENT(relu_gradient, y, select((wide)(0.0f), g, y > 0.0f))
UNARY_GRADIENT(gelu_gradient, x,
               g *(normal_cdf(x) + x * INVERSE_SQRT_2PI * exp(-0.5f * x * x)))
UNARY_GRADIENT(sigmoid_gradient, y, g *y *(1.0f - y))
UNARY_GRADIENT(tanh_gradient, y, g *(1.0f - y * y))

/* y [C] against each row of x [n]. */
static inline wide row_part(X y, long i, long C)
{
    const long at = i % C;
    if (at + WIDE <= C)
        return WIDE_SUFFIX(vload)(0, y + at);
    float t[WIDE];
    for (int k = 0; k < WIDE; k++)
        t[k] = y[(at + k) % C];
    return WIDE_SUFFIX(vload)(0, t);
}

ITEMS __kernel void add_rows(long n, long C, X x, X y, Y z)
{
    HERE
    store(load(x + i, left) + row_part(y, i, C), z + i, left);
}

ITEMS __kernel void mul_rows(long n, long C, X x, X y, Y z)
{
    HERE
    store(load(x + i, left) * row_part(y, i, C), z + i, left);
}

/* Pairs of x [N,L,C] turned by table [T,C/2,2]. Range: vectors of C, L, N. */
ITEMS __kernel void rotary(int C, int count, int T, X x, X table, Y y)
{
    const int c = get_global_id(0) * WIDE, token = get_global_id(1);
    const int left = C - c;
    if (left <= 0)
        return;
    const long at = ((long)get_global_id(2) * get_global_size(1) + token) * C + c;
    wide v = load(x + at, left);
    if (token < count) {
        const wide turn = load(table + (long)(token % T) * C + c, left), u = v;
        v.even = u.even * turn.even - u.odd * turn.odd;
        v.odd = u.even * turn.odd + u.odd * turn.even;
    }
    store(v, y + at, left);
}
