/* types.c - the built-in types of artifact. Their writers come with plugins. */
#include "stages/registry.h"

#define GRID "size spacing origin direction"

/* clang-format off */
static const mf_type types[] = {
    {"volume",   "a scan on its grid",                           "voxels", GRID, NULL, NULL},
    {"labels",   "an integer label for each voxel",              "voxels", GRID, NULL, NULL},
    {"slices",   "RGB slices of a volume [n, h, w, 3]",          "rgb:u8", "axis " GRID, NULL, NULL},
    {"masks",    "3D masks, sparse",                             "box:i32 score:f32 seed:i32 bits", GRID, NULL, NULL},
    {"sample",   "an image on the training grid with its masks", "image:f32 box:i32 score:f32 seed:i32 bits", GRID, NULL, NULL},
    {"pair",     "a reference and a query view with their masks", "reference:f32 query:f32 reference_masks:u8 query_masks:u8", "", NULL, NULL},
    {"model",    "weights under PyTorch's names",                "", "architecture", NULL, NULL},
    {"features", "feature maps [C, d, h, w]",                    "values:f32", "", NULL, NULL},
    {"table",    "columns of numbers and text",                  "", "columns", NULL, NULL},
    {"image",    "an RGB picture [h, w, 3]",                     "rgb:u8", "", NULL, NULL},
    {"text",     "plain text",                                   "", "", NULL, NULL},
    {"seeds",    "2D masks on slices: masks one slice thick",     "box:i32 score:f32 seed:i32 bits stability:f32 point:f32 crop:i32", GRID, NULL, NULL},
};
/* clang-format on */

const mf_type *mf_builtin_types(size_t *count)
{
    *count = sizeof types / sizeof *types;
    return types;
}
