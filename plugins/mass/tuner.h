/* tuner.h - a fine-tuning on its way: what the parts of mass.finetune share. tuner_start.c makes
 * it, mass_finetune.c trains and validates, tuner_state.c keeps the best and saves it all, and
 * tuner_publish.c puts out what came of it. */
#ifndef MF_MASS_TUNER_H
#define MF_MASS_TUNER_H

#include "../weights/tensors.h"
#include "classes.h"
#include "ranks.h"
#include "tuning.h"
#include "validate.h"

#include <massflow/stage.h>

/* The parameters of the stage. */
typedef struct mf_finetune_params {
    mf_ints channels, num_block;
    mf_labels labels;
    int64_t pos_embed_size, epochs, steps_per_epoch, stop_at, batch_size, seed, val_interval,
        patience, i3d_width, devices, ranks;
    double lr, token_lr, lr_min, weight_decay, max_grad_norm, ema_decay, val_overlap,
        checkpoint_interval;
    const char *mode, *absent, *recompute, *backbone, *batch_norm;
    mf_ints i3d_blocks;
} mf_finetune_params;

enum { MF_TUNER_COLUMNS = 7 }; /* of the metrics */
enum { MF_TUNER_SHOWN = 4 };   /* samples that an error about a step names at most */

/* What a rank of the training has of its own, on its device. */
typedef struct mf_tuner_rank {
    mf_weights *weights;
    mf_executable *program;
    bool diverged; /* a loss or a gradient is not finite */
    float norm;    /* of the model's gradient in this step */
} mf_tuner_rank;

/* A crop of a step, and what it gave. */
typedef struct mf_tuner_crop {
    mf_artifact *item;
    double loss, dice, bce;
} mf_tuner_crop;

typedef struct mf_tuner {
    mf_task *task;
    const mf_finetune_params *o;
    mf_iris iris;
    mf_tuning tuning;
    mf_classes classes;
    mf_names names; /* of the labels of all cases */
    int64_t examples[MF_CLASSES_MOST];
    mf_ranks *ranks;
    mf_tuner_rank *rank; /* [ranks] */
    mf_weights *weights; /* those of rank 0, which validates and is saved; borrowed */
    mf_tensors carried;
    mf_predictor *predictor;          /* on the device of rank 0 */
    int64_t last;                     /* steps to do */
    int64_t done;                     /* steps done */
    double (*rows)[MF_TUNER_COLUMNS]; /* [last], of the metrics */
    mf_validation *results;           /* [validations] */
    int64_t *result_steps;            /* [validations] */
    /* Validations done; those since the best; its step. */
    struct {
        int64_t validations, since, best;
    } count;
    mf_artifact *best;               /* what had learned by then; NULL: none */
    mf_tuner_crop *crops;            /* [batch], of this step; one rank has one at a time */
    char shown[MF_TUNER_SHOWN][128]; /* samples of this step's crops, the first of them */
    bool diverged;                   /* a loss or a gradient is not finite */
} mf_tuner;

/* The configuration of `init`, or that of the parameters. */
MF_MUST_USE mf_status mf_tuner_find_iris(mf_task *t, const mf_finetune_params *o, mf_iris *iris);
/* What a step on k classes takes of the device; an error where that is too much. */
MF_MUST_USE mf_status mf_tuner_check_memory(mf_device *device, const mf_finetune_params *o,
                                            const mf_iris *iris, const int64_t crop[3], int64_t k,
                                            size_t *bytes);
/* Classes, weights and tokens of all ranks, and the predictor; the tokens are zeros where a state
 * will follow. */
MF_MUST_USE mf_status mf_tuner_start(mf_tuner *t, mf_stream *stream, bool resumed);

/* What has learned, as it is now, becomes the best; and back. */
MF_MUST_USE mf_status mf_tuner_keep_best(mf_tuner *t);
MF_MUST_USE mf_status mf_tuner_put_best_back(mf_tuner *t);
/* Room for n validations. */
MF_MUST_USE mf_status mf_tuner_more_results(mf_tuner *t, int64_t n);
/* A checkpoint after the steps done; and out of one, of as many steps. */
MF_MUST_USE mf_status mf_tuner_save(mf_tuner *t, bool keep);
MF_MUST_USE mf_status mf_tuner_read_state(mf_tuner *t, const mf_artifact *state);

/* The predictor becomes the model as later stages see it. */
MF_MUST_USE mf_status mf_tuner_load_predictor(mf_tuner *t);
/* All outputs. */
MF_MUST_USE mf_status mf_tuner_publish(mf_tuner *t);

#endif
