/* view.c - see view.h. What lies over a scan is drawn over it; without one, on black. */
#include "view.h"
#include "mosaic.h"
#include <stdlib.h>
#include <string.h>

/* Labels are tinted, but one label alone (a body) would tint all: of it, and of masks, which lie
 * over each other, outlines. */
static mf_status draw_sheet(const mf_artifact *volume, const mf_artifact *over, const mf_view *v,
                            mf_array **rgb)
{
    picture_options o = {.axis = v->axis,
                         .one = v->slice >= 0,
                         .slice = v->slice,
                         .slices = v->slices,
                         .tile = v->tile,
                         .low = 1,
                         .high = 99.5,
                         .opacity = 0.45,
                         .fill = over && !strcmp(mf_artifact_type(over), "labels"),
                         .outline_single = true,
                         .masks = 100};

    picture_window(volume, &o);
    return picture_draw(volume, over, &o, rgb);
}

static mf_status draw_volume(const mf_artifact *a, const mf_artifact *scan, const mf_view *v,
                             mf_array **rgb)
{
    (void)scan;
    return draw_sheet(a, NULL, v, rgb);
}

/* A volume of that grid with these voxels, or black. */
static mf_status make_volume(const mf_artifact *of, mf_array *voxels, mf_artifact **volume)
{
    mf_grid grid;
    mf_array *black = NULL;

    MF_TRY(mf_artifact_grid(of, &grid));
    if (!voxels) {
        int64_t shape[3];
        mf_zyx(grid.size, shape);
        MF_TRY(mf_array_new(MF_U8, 3, shape, &black));
    }
    mf_status status = mf_artifact_new("volume", volume);
    if (!status) {
        status = mf_artifact_set_grid(*volume, &grid);
        if (!status)
            status = mf_artifact_add(*volume, "voxels", voxels ? voxels : black);
        if (status) {
            mf_artifact_unref(*volume);
            *volume = NULL;
        }
    }
    mf_array_unref(black);
    return status;
}

/* Labels, masks or seeds. */
static mf_status draw_over(const mf_artifact *a, const mf_artifact *scan, const mf_view *v,
                           mf_array **rgb)
{
    mf_artifact *black;

    if (scan)
        return draw_sheet(scan, a, v, rgb);
    MF_TRY(make_volume(a, NULL, &black));
    mf_status status = draw_sheet(black, a, v, rgb);
    mf_artifact_unref(black);
    return status;
}

/* The masks of a sample over its own image. */
static mf_status draw_sample(const mf_artifact *a, const mf_artifact *scan, const mf_view *v,
                             mf_array **rgb)
{
    mf_artifact *volume;
    mf_array *image;

    (void)scan;
    MF_TRY(mf_artifact_array(a, "image", &image));
    mf_status status = make_volume(a, image, &volume);
    mf_array_unref(image);
    MF_TRY(status);
    status = draw_sheet(volume, a, v, rgb);
    mf_artifact_unref(volume);
    return status;
}

static const mf_type volume_type = {.name = "volume", .draw = draw_volume};
static const mf_type labels_type = {.name = "labels", .draw = draw_over};
static const mf_type masks_type = {.name = "masks", .draw = draw_over};
static const mf_type seeds_type = {.name = "seeds", .draw = draw_over};
static const mf_type sample_type = {.name = "sample", .draw = draw_sample};
const mf_type *const view_types[] = {&volume_type, &labels_type, &masks_type,
                                     &seeds_type,  &sample_type, NULL};
