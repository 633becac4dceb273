/* i3d.h - I3D-ResNet, a ResNet of images whose filters are inflated over depth, as the encoder of a
 * model.
 *
 * He et al., "Deep Residual Learning", CVPR 2016; Carreira and Zisserman, "Quo Vadis", CVPR 2017.
 * The numbers and weight names are those of torchvision's ResNet (stride on the 3x3 filter) with
 * the inflation of earlier public code of the authors of MASS (Merlin's i3res): the axis that they
 * call time is z. How MASS joins it to the decoder of Iris is not public; iris.h says how it is
 * done here. */
#ifndef MF_MASS_I3D_H
#define MF_MASS_I3D_H

#include <massflow/program.h>

enum {
    MF_I3D_STAGES = 4, /* of bottlenecks */
    MF_I3D_MAPS = 5,   /* after the stem, then after each stage */
    MF_I3D_BLOCKS_MOST = 64,
    MF_I3D_WIDTH_MOST = 256
};

typedef struct mf_i3d {
    int64_t width;                 /* channels of the stem (64); the maps have 1, 4, 8, 16, 32 times
                                    * as many. 0: there is no I3D */
    int64_t blocks[MF_I3D_STAGES]; /* bottlenecks (3 8 36 3 is ResNet-152) */
} mf_i3d;

/* The rules: width and blocks at least 1. */
MF_MUST_USE mf_status mf_i3d_check(const mf_i3d *i3d);
/* Channels of map i, 0 the stem's. */
int64_t mf_i3d_channels(const mf_i3d *i3d, int map);
/* Voxels (z y x) of map i, of a crop: halved as often as its strides say, rounded up. The strides
 * are 1 2 2 (z y x) of the stem, and twice those of the map before for each stage. */
void mf_i3d_size(int map, const int64_t crop[3], int64_t size[3]);

/* image [1,D,H,W,1], which stands for three equal channels -> maps[i] [1,d,h,w,C]. share: of the
 * batch statistics (mf_batch_norm); 0: the running statistics. */
void mf_i3d_encoder(mf_program *p, const mf_i3d *i3d, mf_value image, float share,
                    mf_value maps[MF_I3D_MAPS]);

#endif
