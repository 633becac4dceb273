/* method.h - what a pretraining method is, apart from graphs, streams and caches: weights,
 * programs, and what one batch teaches. trainer.h runs it as a stage; the tests run it alone.
 *
 * A method learns the encoder of an Iris, under the official names, and what else it declares:
 * parts of the Iris (a decoder), also under their official names, and a head of its own, under any
 * other names. What has an official name becomes part of the model; a head is for training only. */
#ifndef MF_BASELINES_METHOD_H
#define MF_BASELINES_METHOD_H

#include "../mass/iris.h"
#include "../mass/ranks.h"

#include <massflow/stage.h>

/* What all methods have in common; the first field of a method's own parameters. */
typedef struct mf_baseline_params {
    mf_ints channels, num_block, i3d_blocks;
    int64_t i3d_width, pos_embed_size, steps, stop_at, batch_size, seed, devices, ranks;
    double lr, final_lr, warmup, weight_decay, max_grad_norm, ema_decay, checkpoint_interval;
    const char *backbone, *optimizer, *scheduler, *recompute;
} mf_baseline_params;

/* Two views of a scan, [D,H,W] in the size of the crop; or a crop with labels (mf_method.labelled).
 */
typedef struct mf_baseline_pair {
    const float *reference, *query; /* weakly and strongly augmented; a crop is the reference */
    const uint16_t *labels;         /* of a crop; NULL of a pair */
    int64_t index;                  /* its place in the stream */
    uint64_t scan;                  /* the same for pairs of one image; 0: not known */
    const char *sample;             /* name of the scan for messages, or NULL */
    const mf_artifact *artifact;    /* the item with its masks; NULL outside of a run */
} mf_baseline_pair;

enum { MF_BASELINE_COLUMNS = 8 }; /* at most, of a method's own */
/* Of methods with a weight_decay of their own: the group of weights (mf_weights_set_group) whose
 * first step is mf_baseline.late. Before it they are of group -1. */
enum { MF_BASELINE_LATE = 2 };

typedef struct mf_method mf_method;

/* A method at work. */
typedef struct mf_baseline {
    const mf_method *method;
    const mf_baseline_params *params; /* of the method's stage */
    mf_iris iris; /* share: of one image in the batch's statistics, once weights are declared */
    int64_t crop[3], voxels; /* z y x, and their product */
    mf_device *device;
    mf_weights *weights; /* that learn */
    /* To the other ranks of a training on several devices, each of which has a method at work;
     * NULL: it is alone. All see the whole batch, encode a part of its images, and end a step
     * alike. */
    mf_transport *ranks;
    void *own;                                    /* mf_method.size bytes, zeros at first */
    int64_t late;                                 /* first step (from 0) of MF_BASELINE_LATE */
    void (*progress)(mf_task *task, double part); /* within a step, 0 to 1; or NULL */
    mf_task *task;                                /* NULL outside of a run */
    bool counting; /* on a device that only counts: what is read from it is worth nothing */
    bool diverged; /* see mf_baseline_diverged */
} mf_baseline;

struct mf_method {
    const char *name;           /* of the stage */
    const char *const *columns; /* of the metrics, beside the loss; NULL at the end, or NULL */
    size_t size;                /* of mf_baseline.own */
    int64_t least_batch;        /* 0: any */
    const char *least_why;      /* with least_batch: "NAME compares the pairs of a batch" */
    int64_t views;              /* of each pair, that the encoder learns from: 1 or 2 */
    bool labelled;              /* reads crops with labels, port `crops`, in place of pairs */
    bool result_is_average;     /* the averages are part of the model, as with ema_decay */

    /* Adds the weights that learn to b->weights, the encoder's and those of a head. */
    mf_status (*declare)(mf_baseline *b);
    /* Values of weight i where PyTorch's way to draw them is not the method's; *drawn: whether it
     * gave some. NULL: all are PyTorch's. */
    mf_status (*draw)(mf_baseline *b, size_t i, bool *drawn);
    /* Makes the programs; all weights have their values. */
    mf_status (*open)(mf_baseline *b);
    /* The gradients of step i (from 0) on a batch, as a batch of mf_weights_begin_batch or of one
     * run; they are not divided by anything later. values[0]: the loss, then the columns. Nothing
     * that the next step depends on may change: the step may fail. */
    mf_status (*learn)(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values);
    /* After the weights' update: what else changes. NULL: nothing. */
    mf_status (*finish)(mf_baseline *b, int64_t i);
    /* What else the state after a step consists of (b->weights are saved already). NULL: nothing.
     */
    mf_status (*save)(mf_baseline *b, mf_artifact *state);
    mf_status (*load)(mf_baseline *b, const mf_artifact *state);
    void (*close)(mf_baseline *b);
    /* Bytes of host memory that it takes beside the pairs of a batch. NULL: too few to count. */
    size_t (*host_bytes)(const mf_baseline_params *o, const mf_iris *iris);
    /* The decay of the averages in step i in place of ema_decay; NULL: ema_decay. */
    double (*momentum)(const mf_baseline *b, int64_t i);
    /* The weight decay of step i in place of weight_decay, and none for vectors. NULL: the same for
     * all. */
    double (*weight_decay)(const mf_baseline *b, int64_t i);
};

/* A method with its weights declared and zeroed. The caller closes it. */
MF_MUST_USE mf_status mf_baseline_new(mf_device *device, const mf_method *method,
                                      const mf_baseline_params *params, const mf_iris *iris,
                                      mf_baseline **baseline);
void mf_baseline_close(mf_baseline *b); /* NULL is fine */
/* Once the weights have values: programs for crops of that size (z y x). */
MF_MUST_USE mf_status mf_baseline_open(mf_baseline *b, const int64_t crop[3]);
/* Averages are kept beside the weights. */
bool mf_baseline_averages(const mf_baseline *b);

/* Step i, from 0: gradients of the batch, then an update. row: loss, the method's columns, learning
 * rate, norm of the gradient. */
MF_MUST_USE mf_status mf_baseline_learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs,
                                        double *row);
MF_MUST_USE mf_status mf_baseline_update(mf_baseline *b, int64_t i, double *row);
/* Columns of such a row. */
int mf_baseline_columns(const mf_method *method);

/* ---- for methods ----------------------------------------------------------------------------- */

/* Names the pair (or crop) in an error; MF_OK stays MF_OK. */
MF_MUST_USE mf_status mf_baseline_within(const mf_baseline *b, const mf_baseline_pair *pair,
                                         mf_status status);
/* An error of numbers that are not finite, which ends the training with its last weights saved.
 * pair: whose, or NULL for the whole batch. */
MF_MUST_USE mf_status mf_baseline_diverged(mf_baseline *b, const mf_baseline_pair *pair,
                                           const char *what, double value);
/* The same where one of these is not finite. To be asked of each image, and of what a loss mixes: a
 * ReLU makes 0 of what is no number, so a loss may hide a voxel that is not finite. */
MF_MUST_USE mf_status mf_baseline_finite(mf_baseline *b, const mf_baseline_pair *pair,
                                         const char *what, const float *values, int64_t count);
/* The items of a batch of `count` that this rank computes: see mf_batch_part. */
void mf_baseline_part(const mf_baseline *b, int64_t count, int64_t *first, int64_t *items);
/* An array over the items of a batch, of which this rank has computed its part, becomes whole. */
MF_MUST_USE mf_status mf_baseline_gather(mf_baseline *b, void *values, int64_t count, size_t bytes);
/* The gradients become those of the whole batch, once all of the rank's own items have ended. */
MF_MUST_USE mf_status mf_baseline_exchange(mf_baseline *b);
/* A batch of pairs that teach one by one. learn: the run of one pair, and what it adds to each of
 * the `count` values (at most MF_BASELINE_COLUMNS + 1). */
MF_MUST_USE mf_status mf_baseline_each(mf_baseline *b, const mf_baseline_pair *pairs, int count,
                                       mf_status (*learn)(mf_baseline *b,
                                                          const mf_baseline_pair *pair,
                                                          double *values),
                                       double *values);
/* Progress within a step, 0 to 1. */
void mf_baseline_progress(mf_baseline *b, double part);
/* Declares the weights of a program and frees it; passes on what it failed with. */
MF_MUST_USE mf_status mf_baseline_declare(mf_weights *w, mf_program *p);
/* Compiles a program and frees it. */
MF_MUST_USE mf_status mf_baseline_compile(mf_program *p, mf_weights *w, mf_executable **e);
/* mf_recompute where the parameter `recompute` says so; before mf_differentiate. */
void mf_baseline_recompute(const mf_baseline *b, mf_program *p);
/* From a at step 0 to b at the last along half a cosine. */
double mf_baseline_cosine(const mf_baseline *b, int64_t i, double from, double to);

#endif
