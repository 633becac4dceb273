/* op_list.h - the list of ops and sizes: an op with its reference, a case of it, the families.
 *
 * A reference is plain and slow, in double. A new op gets one in the file of its family; the test
 * `check_list` fails until its kernels are reached. */
#ifndef MF_CHECK_OP_LIST_H
#define MF_CHECK_OP_LIST_H

#include "check/checks.h"
#include <massflow/program.h>

enum { MF_CHECK_INPUTS = 5, MF_CHECK_INTS = 6 };

/* What a float should be, and what it may differ by. */
typedef struct mf_check_number {
    double value;
    double size;   /* that roundings are relative to; INFINITY: anything goes */
    int64_t terms; /* that were added up */
} mf_check_number;

typedef struct mf_check_op mf_check_op;

typedef enum mf_check_kind {
    MF_CHECK_TRAINED,  /* a weight, with a gradient where the op has one */
    MF_CHECK_CONSTANT, /* an input */
    MF_CHECK_MASK,     /* u8, 0 or 1 */
    MF_CHECK_FOLLOWER  /* a running statistic: a weight whose gradient is what it follows, no
                        * derivative */
} mf_check_kind;

/* An op with the sizes of its operands. */
typedef struct mf_check_case {
    const mf_check_op *op;
    int inputs;
    struct {
        int rank;
        int64_t dim[MF_MAX_RANK];
        mf_check_kind kind;
        double low, high; /* of random values; both 0: -2 .. 2 */
    } in[MF_CHECK_INPUTS];
    int64_t i[MF_CHECK_INTS]; /* parameters, as the op defines them */
    double f;
    bool quick;    /* in the short form */
    bool thorough; /* in the long form alone: it compiles kernels for sizes of its own */
    bool model;    /* a layer of a model: timed, and in the device's own form only */
} mf_check_case;

struct mf_check_op {
    const char *name;
    mf_value (*build)(mf_program *p, const mf_value *in, const mf_check_case *c);
    /* in[k] -> out, which begins as zeros and has as many numbers as the op's value. */
    void (*value)(const mf_check_case *c, double *const *in, mf_check_number *out);
    /* g [count], d loss / d value -> dx[k], which begin as zeros; dx[k] is NULL for what is not
     * trained. NULL: the op has no gradient. */
    void (*gradient)(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                     mf_check_number *const *dx);
    double roundings[2]; /* of each element of the value, of a gradient; beside sums */
    /* Changes random inputs so that none lies where rounding decides; or NULL. */
    void (*prepare)(const mf_check_case *c, double *const *in);
    /* Multiplications and additions of the value alone; NULL where memory bounds it. */
    double (*work)(const mf_check_case *c);
    /* Instead of all these: runs and compares by itself. */
    mf_status (*own)(const mf_check_case *c, mf_device *device, mf_check_result *result,
                     mf_check_labels *labels);
};

/* ---- the list -------------------------------------------------------------------------------- */

typedef struct mf_check_list {
    mf_check_case *cases;
    size_t count;
    bool short_of_memory;
} mf_check_list;

/* Cases of a family of kernels, in the order of the table. */
typedef struct mf_check_family {
    const char *name;
    void (*add)(mf_check_list *list);
} mf_check_family;

extern const mf_check_family mf_check_families[];
extern const size_t mf_check_family_count;

/* All cases of a family, or with NULL of all; *list is cleared by the caller also after an error.
 */
MF_MUST_USE mf_status mf_check_list_make(const char *family, mf_check_list *list);
void mf_check_list_clear(mf_check_list *list);
/* Appends a case; returns it, or a spare one where memory is short (the list keeps that). */
mf_check_case *mf_check_add(mf_check_list *list, mf_check_case c);

/* Families, one a file. */
void mf_check_elementwise(mf_check_list *list);
void mf_check_reduce(mf_check_list *list);
void mf_check_shape(mf_check_list *list);
void mf_check_norm(mf_check_list *list);
void mf_check_space(mf_check_list *list);
void mf_check_strided(mf_check_list *list);
void mf_check_loss(mf_check_list *list);
void mf_check_conv(mf_check_list *list);
void mf_check_matmul(mf_check_list *list);
void mf_check_attention(mf_check_list *list);
void mf_check_conv2d(mf_check_list *list);
void mf_check_image(mf_check_list *list);
void mf_check_optimizer(mf_check_list *list);
void mf_check_model(mf_check_list *list);

#endif
