/* reference.c - see reference.h. */
#include "check/reference.h"

#include <stdio.h>
#include <stdlib.h>

int64_t mf_check_count(const mf_check_case *c, int k)
{
    int64_t n = 1;
    for (int d = 0; d < c->in[k].rank; d++)
        n *= c->in[k].dim[d];
    return n;
}

double mf_check_uniform(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64 (Marsaglia 2003) */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 9007199254740992.0;
}

void mf_check_moved(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                    mf_check_number *const *dx)
{
    double *numbers[MF_CHECK_INPUTS] = {NULL};
    int64_t first[MF_CHECK_INPUTS + 1] = {1};
    (void)in;
    for (int k = 0; k < c->inputs; k++) {
        int64_t n = mf_check_count(c, k);
        first[k + 1] = first[k] + n;
        numbers[k] = malloc((size_t)n * sizeof(double));
        for (int64_t i = 0; numbers[k] && i < n; i++)
            numbers[k][i] = (double)(first[k] + i);
    }
    mf_check_number *from = calloc((size_t)count + 1, sizeof *from);
    bool complete = from != NULL;
    for (int k = 0; k < c->inputs; k++)
        complete &= numbers[k] != NULL;
    if (complete)
        c->op->value(c, numbers, from);
    for (int64_t i = 0; complete && i < count; i++) {
        int64_t at = (int64_t)from[i].value;
        for (int k = 0; k < c->inputs; k++)
            if (at >= first[k] && at < first[k + 1] && dx[k])
                mf_term(&dx[k][at - first[k]], g[i]);
    }
    for (int k = 0; k < c->inputs; k++)
        free(numbers[k]);
    free(from);
}

void mf_check_compare(mf_check_result *result, const char *what, int rank, const int64_t *shape,
                      int64_t count, const float *got, const mf_check_number *want,
                      double roundings)
{
    for (int64_t i = 0; i < count; i++) {
        double bound = mf_check_bound(&want[i], roundings);
        double error = fabs((double)got[i] - want[i].value);
        double ratio = error == 0 ? 0 : bound > 0 && !isnan(error) ? error / bound : INFINITY;
        if (ratio > result->ratio)
            result->ratio = ratio;
        if (ratio <= 1 || result->wrong)
            continue;
        result->wrong = true;
        result->got = (double)got[i];
        result->want = want[i].value;
        result->bound = bound;
        size_t at = (size_t)snprintf(result->what, sizeof result->what, "%s [", what);
        int64_t below = count, rest = i;
        for (int d = 0; d < rank && at < sizeof result->what; d++) {
            below /= shape[d];
            at += (size_t)snprintf(result->what + at, sizeof result->what - at, "%lld%s",
                                   (long long)(rest / below), d + 1 == rank ? "]" : ",");
            rest %= below;
        }
    }
}
