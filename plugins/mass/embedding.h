/* embedding.h - task embeddings of labels as an artifact: made by mass.embed or mass.finetune, used
 * by mass.segment.
 *
 * An artifact of type `embedding`: arrays
 *     tokens0..2  f32 [K, 11, C]  deepest level first: keys 0, 1, 2 of the official ParameterList
 *     labels      i32 [K]         their label values, ascending, 1 to 65535
 *     examples    i32 [K]         how many examples were averaged; 0: drawn at random
 * and attributes
 *     architecture  "iris"
 *     channels      of the model, shallowest first
 *     model         fingerprint of its weights: tokens mean something to these weights alone
 *     target_spacing, patch_size   mm, voxels, along x y z
 *     normalize     region that gave mean and deviation of an example: "crop" or "scan"
 *     modality      of the examples, "CT", "MR", "PET"; "" where they differ
 *     window, percentiles          bounds of the clipping, of CT in HU, of MR and PET in %
 *     ema           1: the tokens are moving averages (EMA) of learned ones; else it is not there
 */
#ifndef MF_MASS_EMBEDDING_H
#define MF_MASS_EMBEDDING_H

#include "../common/normalize.h"
#include "predict.h"

#include <massflow/names.h>

enum { MF_FINGERPRINT = 17 }; /* bytes of its text, with the end */

/* What the numbers of an embedding depend on, beside the examples. */
typedef struct mf_embedding_settings {
    char model[MF_FINGERPRINT]; /* see mf_embedding_fingerprint */
    double spacing[3];          /* mm along x y z */
    int64_t patch_size[3];      /* voxels along x y z */
    bool whole_scan;            /* examples were normalized by the whole scan, not by their crop */
    bool ema;                   /* learned tokens, of which these are the moving averages (EMA) */
    const char *modality;       /* "CT", "MR", "PET" or ""; borrowed from the artifact, if read */
    mf_normalize clip;          /* bounds of the clipping */
} mf_embedding_settings;

/* Task embeddings with what they stand for. */
typedef struct mf_embedding {
    mf_priors priors;  /* [K, 11, C], deepest first */
    int64_t *labels;   /* [K], ascending */
    int64_t *examples; /* [K] */
    mf_names names;    /* of labels, where the examples have names */
    mf_embedding_settings settings;
} mf_embedding; /* starts as {0} */
void mf_embedding_clear(mf_embedding *e);

/* 16 hex digits that stand for the values of all weights, or of their averages, and for the shapes.
 * Neither the order of weights nor the device changes it. */
MF_MUST_USE mf_status mf_embedding_fingerprint(mf_weights *w, bool averages,
                                               char text[MF_FINGERPRINT]);

/* A new artifact of e, which remains the caller's. */
MF_MUST_USE mf_status mf_embedding_write(const mf_embedding *e, const mf_iris *iris,
                                         mf_artifact **artifact);
/* Reads an artifact for the model `iris` whose weights have the fingerprint `model` (NULL: any).
 * Fails where it was made with other channels, with other weights, or is damaged. */
MF_MUST_USE mf_status mf_embedding_read(const mf_artifact *a, const mf_iris *iris,
                                        const char *model, mf_embedding *e);
/* For the type's `check`: whether attributes and shapes fit each other. */
MF_MUST_USE mf_status mf_embedding_check(const mf_artifact *a);

#endif
