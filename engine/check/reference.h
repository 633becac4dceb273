/* reference.h - what references share: sums with their sizes, index arithmetic, the comparison. */
#ifndef MF_CHECK_REFERENCE_H
#define MF_CHECK_REFERENCE_H

#include "check/op_list.h"

#include <float.h>
#include <math.h>

#define COUNT_OF(x) ((int)(sizeof(x) / sizeof((x)[0])))

/* Elements of operand k. */
int64_t mf_check_count(const mf_check_case *c, int k);

/* Operand 0 seen as [a, rows, b] with the axis in the middle. */
static inline void mf_check_sides(const mf_check_case *c, int64_t axis, int64_t *a, int64_t *b)
{
    *a = *b = 1;
    for (int k = 0; k < c->in[0].rank; k++) {
        *a *= k < axis ? c->in[0].dim[k] : 1;
        *b *= k > axis ? c->in[0].dim[k] : 1;
    }
}

static inline void mf_term(mf_check_number *n, double term)
{
    n->value += term;
    n->size += fabs(term);
    n->terms++;
}

/* A term that is itself the result of an operation whose roundings are relative to `size`. */
static inline void mf_term_of(mf_check_number *n, double term, double size)
{
    n->value += term;
    n->size += size;
    n->terms++;
}

/* What an element may differ by; `roundings` beside those of its sum. Results below FLT_MIN may be
 * flushed to 0. */
static inline double mf_check_bound(const mf_check_number *n, double roundings)
{
    const double sums = n->terms > 1 ? 2 * sqrt((double)n->terms) : 0;
    return sums + roundings > 0 ? FLT_EPSILON * (sums + roundings) * n->size + FLT_MIN : 0;
}

/* Index into [N,D,H,W,C]. */
static inline int64_t mf_at5(const int64_t *dim, int64_t n, int64_t z, int64_t y, int64_t x,
                             int64_t c)
{
    return (((n * dim[1] + z) * dim[2] + y) * dim[3] + x) * dim[4] + c;
}

/* The gradient of an op that only moves elements, from its `value`: where each comes from is found
 * by moving their numbers. */
void mf_check_moved(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                    mf_check_number *const *dx);

/* Random and the same everywhere: uniform in [0, 1). */
double mf_check_uniform(uint64_t *state);

/* Compares `count` floats of a value of this shape; keeps the worst ratio, and the first wrong
 * element as `what` with its place. */
void mf_check_compare(mf_check_result *result, const char *what, int rank, const int64_t *shape,
                      int64_t count, const float *got, const mf_check_number *want,
                      double roundings);

#endif
