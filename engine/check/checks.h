/* checks.h - whether a device and its driver compute what they should: one list of ops and sizes,
 * each with a plain reference on the host, run in the form of the kernels for CPUs and in that for
 * GPUs.
 *
 * `massflow devices --check` shows it to the owner of a card, the unit tests of ops run the same
 * list, and the test `check_list` fails where an op or a kernel is reached by no case of it.
 *
 * Where a bound comes from: a reference computes in double, and beside each number the sum of the
 * magnitudes of what is added up to it, its size. A rounding of a float is at most FLT_EPSILON / 2
 * of what is rounded, so n terms that are added up in any order are wrong by some sqrt(n) of them
 * (independent roundings; Higham and Mary 2019): 2 sqrt(n) FLT_EPSILON size. To this come the
 * roundings of each element: 0.5 for a product, and what OpenCL 1.2 allows a function (table 7.1 of
 * its specification: exp and log 3, tanh 5, division 2.5 units in the last place). What only copies
 * has bound 0. Knows ops and devices; it never prints. */
#ifndef MF_CHECK_CHECKS_H
#define MF_CHECK_CHECKS_H

#include <massflow/compute.h>

/* "op/kernel" of launches, "kernel" of those that pack weights. */
typedef struct mf_check_labels {
    char **texts;
    int count;
} mf_check_labels;
void mf_check_labels_clear(mf_check_labels *labels);

/* How a case ended. */
typedef struct mf_check_result {
    char text[160]; /* of the case: "conv3d [2,3,4,5,16] [8,16,3,3,3]" */
    double ratio;   /* the worst error by its bound; INFINITY where the bound is 0, for NaN */
    bool wrong;     /* ratio above 1, or `error` */
    char what[96];  /* the first wrong element: "gradient of input 1 [0,3,2]" */
    double got, want, bound;
    char error[512]; /* of the driver, instead; "" for none */
    double seconds;  /* all launches, once; 0: not measured */
    double flops, bytes;
    size_t local_memory, private_memory; /* bytes, the most of any kernel, as the driver tells */
    size_t multiple;                     /* preferred of the group size */
    size_t group;                        /* the least that a kernel allows at most */
} mf_check_result;

/* ---- running --------------------------------------------------------------------------------- */

/* The forms of the kernels: one work-item a core with long vectors, or groups of work-items. */
typedef enum mf_check_form { MF_CHECK_CPU_FORM, MF_CHECK_GPU_FORM } mf_check_form;
const char *mf_check_form_text(mf_check_form form); /* "cpu" */

/* What is told meanwhile. `begins` comes before anything of the case is done, so that whoever hangs
 * has been named. */
typedef struct mf_check_observer {
    void *self;
    void (*begins)(void *self, mf_check_form form, const char *op, const char *text);
    void (*ends)(void *self, mf_check_form form, const char *op, const mf_check_result *result,
                 const mf_check_labels *labels);
} mf_check_observer;

typedef enum mf_check_depth {
    MF_CHECK_FIRST,   /* the quick cases of a few ops: at the first use of a device */
    MF_CHECK_QUICK,   /* one small case of each op */
    MF_CHECK_USUAL,   /* all sizes in the device's own form, one small case in the other */
    MF_CHECK_THOROUGH /* every case of the list */
} mf_check_depth;

typedef struct mf_check_options {
    mf_check_depth depth;
    bool forms[2];    /* by mf_check_form; none: the device's own */
    const char *only; /* a part of an op's name, or NULL */
    size_t skip;      /* so many cases of the sequence are not run: what is left after a crash */
} mf_check_options;

/* Runs the list on a device. *wrong: how many cases were; an error is one of massflow's, never of
 * the device. */
MF_MUST_USE mf_status mf_check_run(mf_device *device, const mf_check_options *options,
                                   const mf_check_observer *observer, size_t *wrong);
/* The same device with this form of the kernels; unref'd by the caller. */
MF_MUST_USE mf_status mf_check_device(mf_device *device, mf_check_form form, mf_device **other);
mf_check_form mf_check_form_of(const mf_device *device);

#endif
