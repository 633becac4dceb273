/* inflate.h - filters of images become filters of volumes: the weights of a 2D ResNet for an I3D.
 */
#ifndef MF_MASS_INFLATE_H
#define MF_MASS_INFLATE_H

#include "../weights/tensors.h"
#include "i3d.h"

typedef enum mf_inflation {
    MF_INFLATE_CENTER, /* the filter in the middle slice, zeros in the others */
    MF_INFLATE_REPEAT  /* the filter in each slice, divided by their number */
} mf_inflation;

/* `flat`: a ResNet with bottlenecks under torchvision's names (conv1.weight, layer1.0.bn1.bias,
 * ...). `model`: the tensors of a model with the I3D `i3d`, whose encoder.* `out` gets from flat,
 * and all others as they are. A ResNet of other sizes is an error, and
 * one with tensors that `out` has no place for, but fc.* and *.num_batches_tracked. */
MF_MUST_USE mf_status mf_inflate(const mf_tensors *flat, mf_inflation how, const mf_i3d *i3d,
                                 const mf_tensors *model, mf_tensors *out);

#endif
