/* load.h - what volume.load and labels.load do, apart from reading parameters and publishing. */
#ifndef VOLUME_LOAD_H
#define VOLUME_LOAD_H

#include "grid/orient.h"
#include "scan/scan.h"
#include <massflow/stage.h>

/* What a file's header says wrongly, and which of its time points are meant. */
typedef struct load_fix {
    const char *orientation; /* axis codes of the file's axes; "" or NULL: as the header says */
    mf_reals spacing;        /* mm along the file's axes; count 0: as the header says */
    const char *labelled;    /* a 4D label map: time counts its time points with a label; NULL */
} load_fix;
/* The rules of the two parameters. */
MF_MUST_USE mf_status load_fix_check(const char *orientation, const mf_reals *spacing);

typedef struct load_options {
    scan_options read;
    load_fix fix;
    const char *orient;   /* axis codes, or "keep" */
    const char *crop;     /* "none", "threshold" or "labels" */
    double threshold;     /* voxels above it make the body */
    double margin;        /* mm */
    const char *labels;   /* path for crop "labels"; NULL */
    const char *modality; /* "auto", "ct", "mr" or "pet" */
    bool zero_odd;        /* NaN and infinity become 0; else the scan is refused */
} load_options;

/* Reads `path` and makes the artifact of type volume. `notes` gets what is to be logged. */
MF_MUST_USE mf_status load_volume(const char *path, const load_options *o, scan *notes,
                                  mf_artifact **volume);

typedef struct labels_options {
    scan_options read;
    load_fix fix;
    const char *orient;        /* without `like` */
    bool by_index;             /* with `like`: trust the order of voxels, not the header */
    mf_labels only;            /* labels that are kept; the others become 0; count 0: all */
    const mf_names *names;     /* beside those of the file, and before them; NULL: none */
    const mf_label_sets *sets; /* of labels; NULL: none */
} labels_options;

/* Reads a label map; with `like` (a volume) onto that volume's grid, which must be of the scan that
 * the labels were drawn on. */
MF_MUST_USE mf_status load_labels(const char *path, const labels_options *o,
                                  const mf_artifact *like, scan *notes, mf_artifact **labels);

/* Reads a scan that lies on the own grid of `like` (a volume or label map) and turns and crops it
 * as that was. */
MF_MUST_USE mf_status load_like(const char *path, const mf_artifact *like, scan *notes,
                                mf_artifact **volume);

#endif
