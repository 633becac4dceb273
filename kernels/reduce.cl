/* reduce.cl - sums over one axis of [A, R, B], and the opposite: repeating along one.
 *
 * Long sums go in levels of at most `chunk` terms, so that the order is fixed and errors grow with
 * the number of levels. */
#include "common.clh"

/* x [A,R,B] -> y [A,chunks,B], B at least 2. Range: vectors of B, chunks, A. */
ROWS __kernel void sum_axis(int R, int B, int chunk, float factor, IN x, OUT y)
{
    int b = get_global_id(0) * WIDE;
    int c = get_global_id(1), chunks = get_global_size(1);
    long a = get_global_id(2);
    int left = B - b;
    if (left <= 0)
        return;
    int first = c * chunk, end = min(first + chunk, R);
    wide all = (wide)(0.0f);
    for (int r = first; r < end; r++)
        all += load(x + (a * R + r) * B + b, left);
    store(factor * all, y + (a * chunks + c) * B + b, left);
}

/* x [A,R] -> y [A,chunks]. Range: teams of chunks, A. */
TEAMS __kernel void sum_last(int R, int chunk, float factor, IN x, OUT y)
{
    TEAM_LOCAL
    int c = get_group_id(0), chunks = get_num_groups(0);
    long a = get_global_id(1);
    int first = c * chunk, end = min(first + chunk, R);
    wide all = (wide)(0.0f);
    for (int r = first + get_local_id(0) * WIDE; r < end; r += TEAM * WIDE)
        all += load(x + a * R + r, end - r);
    float total = TEAM_SUM(wide_sum(all));
    if (get_local_id(0) == 0)
        y[a * chunks + c] = factor * total;
}

/* y [A,R,B] = factor x [A,B]. Range: vectors of R B, A. */
ITEMS __kernel void expand(int R, int B, float factor, IN x, OUT y)
{
    long i = (long)get_global_id(0) * WIDE, left = (long)R * B - i;
    long a = get_global_id(1);
    if (left <= 0)
        return;
    __global const float *row = x + a * B;
    wide v;
    if (B == 1) {
        v = (wide)(row[0]);
    } else if (B % WIDE == 0) {
        v = WIDE_SUFFIX(vload)(0, row + i % B);
    } else {
        float t[WIDE];
        for (int k = 0; k < WIDE; k++)
            t[k] = row[(i + k) % B];
        v = WIDE_SUFFIX(vload)(0, t);
    }
    store(factor * v, y + a * R * B + i, left);
}

/* Each row divided: y [R,C] = x [R,C] / max(d [R], low). */
ITEMS __kernel void divide_rows(long n, int C, float low, IN x, IN d, OUT y)
{
    long i = (long)get_global_id(0) * WIDE;
    if (i >= n)
        return;
    for (long k = i; k < min(i + WIDE, n); k++)
        y[k] = x[k] / fmax(d[k / C], low);
}

/* d loss / d d [R], from g and y [R,C]: -sum(g y) / d where d is above the floor. */
ROWS __kernel void divide_rows_gradient(int R, int C, float low, IN g, IN y, IN d, OUT dd)
{
    int r = get_global_id(0);
    if (r >= R)
        return;
    float all = 0.0f;
    for (int c = 0; c < C; c++)
        all += g[(long)r * C + c] * y[(long)r * C + c];
    dd[r] = d[r] > low ? -all / d[r] : 0.0f;
}
