/* image_overlay.c - stage image.overlay: slices of a scan with labels or masks drawn over them. */
#include "image_overlay.code.h"
#include "mosaic.h"
#include "view.h"
#include <massflow/stage.h>
#include <string.h>

typedef struct overlay_params {
    const char *axis, *style;
    int64_t slices, columns, tile, max_masks;
    mf_reals window, percentiles;
    double opacity;
} overlay_params;

static const mf_param params[] = {
    MF_CHOICE(overlay_params, axis, "z", "z|y|x",
              "Axis across which slices are cut: z axial, y coronal, x sagittal."),
    MF_CHOICE(overlay_params, style, "outline", "outline|fill",
              "outline: contours. fill: tinted areas."),
    MF_INT(overlay_params, slices, "9", 1, 400, "", "Number of slices."),
    MF_INT(overlay_params, columns, "0", 0, 100, "", "Slices per row. 0: chosen to fit a screen."),
    MF_INT(overlay_params, tile, "256", 32, 2048, "pixels", "Longer side of a slice."),
    MF_INT(overlay_params, max_masks, "100", 0, 1e6, "",
           "Maximum number of masks. The largest are drawn. 0: no limit."),
    MF_REALS(overlay_params, window, "[]", -1e9, 1e9, "HU",
             "Center and width of the display window. Empty: 40 and 400 for CT, `percentiles` for "
             "others."),
    MF_REALS(overlay_params, percentiles, "[1, 99.5]", 0, 100, "%",
             "Percentiles of the voxels that are black and white, where no window is set."),
    MF_REAL(overlay_params, opacity, "0.4", 0, 1, "",
            "Opacity of tinted areas. Contours have twice this opacity."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."), MF_PORT("labels", "labels?", "Label map to draw."),
    MF_PORT("masks", "masks?", "Masks to draw."),
    MF_PORT("seeds", "seeds?",
            "2D masks to draw on their slices. Connect one of labels, masks and seeds."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("image", "image", "Image of the slices, each with its number."), MF_END};

static mf_status check(const void *p)
{
    const overlay_params *o = p;
    if (o->window.count && (o->window.count != 2 || !(o->window.v[1] > 0)))
        return mf_fail(MF_INVALID, "window: a center and a width above 0");
    if (o->percentiles.count != 2 || !(o->percentiles.v[1] > o->percentiles.v[0]))
        return mf_fail(MF_INVALID, "percentiles: two numbers, the second larger");
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const overlay_params *o = p;
    picture_options options = {.axis = o->axis[0] == 'z'   ? 0
                                       : o->axis[0] == 'y' ? 1
                                                           : 2,
                               .slices = o->slices,
                               .columns = o->columns,
                               .tile = o->tile,
                               .low = o->percentiles.v[0],
                               .high = o->percentiles.v[1],
                               .fill = !strcmp(o->style, "fill"),
                               .opacity = o->opacity,
                               .masks = o->max_masks};
    const mf_artifact *volume, *labels, *masks, *seeds;
    mf_artifact *image;
    mf_array *rgb;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_in(t, "masks", &masks));
    MF_TRY(mf_in(t, "seeds", &seeds));
    if ((labels != NULL) + (masks != NULL) + (seeds != NULL) > 1)
        return mf_fail(MF_INVALID, "one of labels, masks and seeds can be drawn, not several");
    if (o->window.count) {
        options.center = o->window.v[0];
        options.width = o->window.v[1];
    } else {
        picture_window(volume, &options);
    }
    MF_TRY(picture_draw(volume, labels ? labels : masks ? masks : seeds, &options, &rgb));
    mf_status status = mf_artifact_new("image", &image);
    if (!status) {
        status = mf_artifact_add(image, "rgb", rgb);
        if (status)
            mf_artifact_unref(image);
    }
    mf_array_unref(rgb);
    MF_TRY(status);
    return mf_out(t, "image", image);
}

static MF_STAGE(
    stage, "image.overlay", 3, "Draws slices of a scan with labels or masks on top, as one image.",
    .help =
        "Write the image with: massflow get GRAPH overlay -o sheet.png. The slices are evenly "
        "spaced over the range of the labels or masks. They are shown in radiological "
        "convention: the patient's right is on the left, anterior or superior is at the top. R and "
        "L mark the sides, unless the scan's file does not say them. Labels with names are "
        "drawn in their colours, with a legend below.",
    .params = params, .params_size = sizeof(overlay_params), .in = inputs, .out = outputs,
    .check = check, .run = run);

MF_PLUGIN_WITH_TYPES("overlay", view_types, &stage)
