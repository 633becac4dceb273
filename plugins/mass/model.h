/* model.h - weights between files, artifacts and devices; how new ones are drawn.
 *
 * An artifact of type `model`: f32 arrays under PyTorch's names and, where averages were kept, the
 * averages under "ema." and the same name; attributes architecture ("iris") and channels. What else
 * a checkpoint held (task_prior_0..2, which the official code needs to load strictly) is carried
 * along. */
#ifndef MF_MASS_MODEL_H
#define MF_MASS_MODEL_H

#include "../weights/tensors.h"
#include "iris.h"

#include <massflow/stage.h>

/* Where the official code keeps a prior for each of its 73 label ids; training leaves them alone.
 */
enum { MF_MODEL_PRIORS = 73 };

/* The parameters of a new model: the fields `channels`, `num_block` (mf_ints) and `pos_embed_size`
 * (int64_t) of a stage's parameters. */
#define MF_MODEL_PARAMS(s)                                                                         \
    MF_INTS(s, channels, "[32, 64, 128, 256, 512]", 1, 65536, "",                                  \
            "Channels from full resolution to the deepest level. The last three are multiples "    \
            "of 32."),                                                                             \
        MF_INTS(s, num_block, "[2, 2, 2, 2]", 1, MF_IRIS_BLOCKS_MOST, "",                          \
                "Residual blocks per level below full resolution, in encoder and decoder."),       \
        MF_INT(s, pos_embed_size, "128", 16, 512, "voxels",                                        \
               "Edge length of the learned position embedding. No patch may be larger.")
MF_MUST_USE mf_status mf_model_configure(mf_ints channels, mf_ints blocks, int64_t positions,
                                         mf_iris *iris);

/* Where a graph says nothing: numbers, and the same as text. */
#define MF_I3D_WIDTH_DEFAULT 64
#define MF_I3D_BLOCKS_DEFAULT 3, 8, 36, 3
#define MF_TEXT_OF_(...) #__VA_ARGS__
#define MF_TEXT_OF(...) MF_TEXT_OF_(__VA_ARGS__)
/* The encoder of a new model: the fields `backbone` (const char *), `i3d_width` (int64_t) and
 * `i3d_blocks` (mf_ints) of a stage's parameters. */
#define MF_BACKBONE_PARAMS(s)                                                                      \
    MF_CHOICE(s, backbone, "resunet", "resunet|i3d",                                               \
              "Encoder. resunet: the one of the official code. i3d: I3D-ResNet; `channels` are "   \
              "those of the decoder then."),                                                       \
        MF_INT(s, i3d_width, MF_TEXT_OF(MF_I3D_WIDTH_DEFAULT), 1, MF_I3D_WIDTH_MOST, "",           \
               "I3D: channels of the stem. The deepest map has 32 times as many."),                \
        MF_INTS(s, i3d_blocks, "[" MF_TEXT_OF(MF_I3D_BLOCKS_DEFAULT) "]", 1, MF_I3D_BLOCKS_MOST,   \
                "", "I3D: bottlenecks of the four stages. The default is ResNet-152.")
/* How the batch norms of an I3D learn: the field `batch_norm` (const char *). */
#define MF_BATCH_NORM_PARAM(s)                                                                     \
    MF_CHOICE(s, batch_norm, "batch", "batch|frozen",                                              \
              "I3D. batch: each image is normalized by its own mean and variance (as PyTorch "     \
              "with batch size 1). frozen: by the running statistics of `init`, which do not "     \
              "change.")
/* All of these parameters. */
typedef struct mf_model_sizes {
    mf_ints channels, blocks;
    int64_t positions;
    const char *backbone;
    int64_t i3d_width;
    mf_ints i3d_blocks;
} mf_model_sizes;
#define MF_MODEL_SIZES_OF(o)                                                                       \
    ((mf_model_sizes){(o)->channels, (o)->num_block, (o)->pos_embed_size, (o)->backbone,           \
                      (o)->i3d_width, (o)->i3d_blocks})
MF_MUST_USE mf_status mf_model_configure_backbone(const mf_model_sizes *sizes, mf_iris *iris);
/* Whether a model that was connected has the backbone that was asked for. */
MF_MUST_USE mf_status mf_model_check_backbone(const char *backbone, const mf_iris *iris);
/* Whether the running statistics of an I3D, which are to be used, are of a training: not all 0 and
 * 1, as drawn. A ResUNet has none. */
MF_MUST_USE mf_status mf_model_check_statistics(const mf_artifact *a);

/* "[8,1,3,3,3]" */
const char *mf_model_shape_text(int rank, const int64_t *shape, char text[96]);
/* Whether a tensor's name ends so: "running_var". */
bool mf_model_name_ends(const char *name, const char *end);
/* For mf_iris_from_shapes: self is a mf_artifact. */
bool mf_model_shape(const void *self, const char *name, int *rank, int64_t *shape);
/* The configuration of a model artifact, from the shapes of its arrays. An encoder alone is an
 * error. */
MF_MUST_USE mf_status mf_model_iris(const mf_artifact *a, mf_iris *iris);
/* The same of a model that may be an encoder alone, as a classifier's checkpoint has it: positions
 * is 0 then. */
MF_MUST_USE mf_status mf_model_encoder(const mf_artifact *a, mf_iris *iris);
/* A program that names all weights of an Iris; those of its encoder where positions is 0. */
void mf_model_program(mf_program *p, const mf_iris *iris);
/* All weights of an Iris, declared and zeroed; those of its encoder where positions is 0. */
MF_MUST_USE mf_status mf_model_declare(mf_weights *w, const mf_iris *iris);
/* Values for all weights of `w`: each must be there, in its shape; other tensors are passed over.
 */
MF_MUST_USE mf_status mf_model_load(mf_weights *w, const mf_tensors *t);
MF_MUST_USE mf_status mf_model_load_weight(mf_weights *w, size_t i, const mf_tensors *t);
/* Draws all weights as PyTorch and the official code do for a new model: Kaiming-uniform for
 * convolutions and linear layers (bound 1 / sqrt(fan in)), Xavier for projections of attention,
 * task queries and the classifier, unit normals for position embeddings, 1 and 0 for norms. */
MF_MUST_USE mf_status mf_model_draw(mf_weights *w, uint64_t seed);
MF_MUST_USE mf_status mf_model_draw_weight(mf_weights *w, size_t i, uint64_t seed);

bool mf_model_has_averages(const mf_artifact *a);
/* The f32 arrays of a model artifact: its averages under their plain names where it has them and
 * `averages` says so, else its weights. */
MF_MUST_USE mf_status mf_model_read(const mf_artifact *a, bool averages, mf_tensors *t);
/* Copies of the weights, or of their averages, by name. */
MF_MUST_USE mf_status mf_model_tensors(mf_weights *w, bool averages, mf_tensors *t);
/* Whether all tensors belong to an encoder: what a classifier's checkpoint keeps of an Iris. */
bool mf_model_is_encoder(const mf_tensors *t);
/* A model artifact from weights, averages (if `averages`) and what is carried along. */
MF_MUST_USE mf_status mf_model_artifact(mf_weights *w, const mf_iris *iris, bool averages,
                                        const mf_tensors *carried, mf_artifact **artifact);
/* Sets the attributes of a model artifact: architecture (of an encoder alone: "iris-encoder"),
 * channels, blocks. */
MF_MUST_USE mf_status mf_model_describe(const mf_iris *iris, mf_artifact *artifact);
/* Fills `carried` with the task_prior_* of `from`, or with zeros where it has none (or is NULL). */
MF_MUST_USE mf_status mf_model_carry(const mf_iris *iris, const mf_tensors *from,
                                     mf_tensors *carried);

#endif
