/* references.h - labelled scans that a task has as inputs, made into task embeddings. */
#ifndef MF_MASS_REFERENCES_H
#define MF_MASS_REFERENCES_H

#include "embedding.h"
#include "examples.h"
#include "scan.h"

#include <massflow/stage.h>

typedef struct mf_references {
    mf_task *task;
    const char *scans, *labels; /* names of its ports: volume[] and labels[] */
    mf_scan_settings settings;
    int64_t patch_size[3]; /* x y z, that of the predictor */
    mf_example_place place;
    bool whole_scan;   /* each scan is normalized as a whole, not each crop by itself */
    mf_labels wanted;  /* labels; empty: all that some reference has */
    const char *model; /* fingerprint of the predictor's weights; NULL: computed */
    /* For labels that are wanted and that no reference shows: their embedding is drawn from it.
     * NULL: an error. */
    mf_random *random;
} mf_references;

/* The mean embedding of each label over the references that show it, with all settings, and what
 * model it is of. */
MF_MUST_USE mf_status mf_references_embed(const mf_references *r, mf_predictor *predictor,
                                          mf_embedding *e);

#endif
