/* write.h - writes volumes, labels and masks as .nii.gz .nii .nrrd .mha, on the scan's own grid. */
#ifndef VOLUME_WRITE_H
#define VOLUME_WRITE_H

#include <massflow/artifact.h>

MF_MUST_USE mf_status write_volume(const mf_artifact *volume, const char *path);
MF_MUST_USE mf_status write_labels(const mf_artifact *labels, const char *path);
MF_MUST_USE mf_status write_masks(const mf_artifact *masks, const char *path);
/* A map a label, along a fourth axis in the order of labels. */
MF_MUST_USE mf_status write_probabilities(const mf_artifact *maps, const char *path);

#endif
