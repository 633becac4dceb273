/* footprint.h - what the programs of a model take of a device's memory, known before they run. */
#ifndef MF_MASS_FOOTPRINT_H
#define MF_MASS_FOOTPRINT_H

#include "classifier.h"
#include "iris.h"

#include <massflow/stage.h>

/* A program for crops [z y x] of one model. */
typedef struct mf_memory_of {
    const mf_iris *iris;
    int64_t crop[3], masks; /* in one program */
    bool averages;          /* of training: the averages (EMA) of the weights are kept */
    bool recompute;         /* of training: mf_recompute */
    int64_t batch;          /* of training: pairs whose gradients are added before a step */
    bool probing;           /* of fine-tuning: encoder and decoder are frozen */
    const mf_classifier_shape *classifier; /* of mf_memory_classify; its crop is not read */
    const void *other;                     /* of a count that stands elsewhere: its own */
} mf_memory_of;

/* Counts on a counting device, which is made like `device`, what is used of it at most. */
typedef mf_status (*mf_memory_count)(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* A step of training: weights, gradients and their sums, moments, averages, and the program of one
 * pair. */
MF_MUST_USE mf_status mf_memory_training(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* A step of fine-tuning on `masks` classes, and beside it the model that validates. */
MF_MUST_USE mf_status mf_memory_tuning(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* The task embedding of a mask. */
MF_MUST_USE mf_status mf_memory_embed(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* `masks` of a query, from their task embeddings. */
MF_MUST_USE mf_status mf_memory_query(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* Task embeddings of a mask, then `masks` of a query. */
MF_MUST_USE mf_status mf_memory_segment(mf_device *device, const mf_memory_of *of, size_t *bytes);
/* The deepest features. */
MF_MUST_USE mf_status mf_memory_features(mf_device *device, const mf_memory_of *of, size_t *bytes);

/* All weights of a model, once. */
MF_MUST_USE mf_status mf_memory_weights(mf_device *device, const mf_iris *iris, double *bytes);

/* A classifier that learns and predicts. */
MF_MUST_USE mf_status mf_memory_classify(mf_device *device, const mf_memory_of *of, size_t *bytes);

/* ---- of the host ---- */

/* What mass.classify holds beside the device: voxels of a view, of the block it is cut from and of
 * the largest scan. */
typedef struct mf_host_classify {
    double view, block, scan;
    double batch, workers; /* views of a step; threads that make them */
    double maps, map;      /* kept feature maps of a frozen encoder, and floats of one */
    double model;          /* bytes of the input model */
} mf_host_classify;
double mf_host_classify_bytes(const mf_host_classify *c);

/* What mass.finetune holds: voxels of a crop, and of the largest sample that is validated on. */
typedef struct mf_host_tuning {
    double crop, val, classes;
    double model; /* bytes of all weights */
} mf_host_tuning;
double mf_host_tuning_bytes(const mf_host_tuning *t);

/* Bytes of all arrays of a model. */
double mf_host_model_bytes(const mf_artifact *model);

/* Words of an error about memory. */
typedef struct mf_memory_words {
    const char *what;  /* "training" */
    const char *crop;  /* the parameter that sets the crop: "patch_size" */
    const char *other; /* what else helps: "lower channels of the model", or NULL */
} mf_memory_words;

/* *bytes as `count` gives it. MF_NO_MEMORY where that is more than `device` has, with what is
 * needed, what is there, and the largest crop that would do. */
MF_MUST_USE mf_status mf_memory_check(mf_device *device, mf_memory_count count,
                                      const mf_memory_of *of, const mf_memory_words *words,
                                      size_t *bytes);

#endif
