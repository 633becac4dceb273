/* list.h - what the families' files share: adding cases, sums with their sizes, index arithmetic.
 */
#ifndef MF_CHECK_LIST_H
#define MF_CHECK_LIST_H

#include "check/case.h"
#include "compute/compute.h"

#include <float.h>
#include <math.h>

#define COUNT_OF(x) ((int)(sizeof(x) / sizeof((x)[0])))

/* Appends a case; returns it, or a spare one where memory is short (the list keeps that). */
mf_check_case *mf_check_add(mf_check_list *list, mf_check_case c);

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
/* Notes what the kernels of an executable, or one of them, take of the device. */
void mf_check_note_launch(mf_device *device, const mf_launch *launch, mf_check_result *result,
                          mf_check_labels *labels);
MF_MUST_USE mf_status mf_check_note_kernel(mf_device *device, const mf_module *module,
                                           const char *kernel, mf_check_result *result,
                                           mf_check_labels *labels);
void mf_check_note_executable(const mf_executable *e, mf_check_result *result,
                              mf_check_labels *labels);

/* Families, one a file. */
void mf_check_elementwise(mf_check_list *list);
void mf_check_reduce(mf_check_list *list);
void mf_check_shape(mf_check_list *list);
void mf_check_norm(mf_check_list *list);
void mf_check_space(mf_check_list *list);
void mf_check_loss(mf_check_list *list);
void mf_check_conv(mf_check_list *list);
void mf_check_matmul(mf_check_list *list);
void mf_check_attention(mf_check_list *list);
void mf_check_conv2d(mf_check_list *list);
void mf_check_image(mf_check_list *list);
void mf_check_optimizer(mf_check_list *list);

#endif
