/* sample.c - see sample.h. The scan is read in slabs, so that it is never whole in memory here. */
#include "sample.h"
#include "../common/label_values.h"

#include <massflow/names.h>

#include <string.h>

mf_status mf_sample_grids(const mf_grid *from, const mf_sample_settings *settings, mf_grid *inner,
                          mf_grid *padded, int64_t before[3])
{
    size_t bytes = sizeof(float);
    MF_TRY(mf_resample_grid(from, settings->spacing, inner));
    mf_resample_pad(inner, settings->least, padded, before);
    for (int j = 0; j < 3; j++)
        if (!mf_size_mul(bytes, (size_t)padded->size[j], &bytes) || bytes > (size_t)1 << 40)
            return mf_fail(MF_NO_MEMORY, "the training grid would have %lldx%lldx%lld voxels",
                           (long long)padded->size[0], (long long)padded->size[1],
                           (long long)padded->size[2]);
    return MF_OK;
}

static mf_status pick_modality(const mf_artifact *volume, const mf_sample_settings *settings,
                               const float *voxels, int64_t count, mf_sample_report *report)
{
    const char *own = mf_artifact_text(volume, "modality");
    const char *text = settings->modality ? settings->modality : own;
    report->modality = MF_MODALITY_NORMALIZED;
    MF_TRY(mf_volume_check_not_windowed(volume));
    if (mf_volume_normalized(volume))
        return mf_volume_check_normalized(volume, &settings->normalize);
    if (mf_modality_parse(text, &report->modality))
        return MF_OK;
    if (text && *text)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "no normalization is known for the modality '%s'", text),
            "set the parameter modality to CT, MR or PET");
    report->guessed = true;
    return mf_modality_guess(voxels, count, &report->modality);
}

/* inner [z,y,x], of elements of `bytes`, into the box of padded [z,y,x] that starts at `before` (x
 * y z). */
static void place(const mf_grid *inner, const void *src, size_t bytes, const mf_grid *padded,
                  const int64_t before[3], void *dst)
{
    size_t row = (size_t)inner->size[0] * bytes;
    const char *from = src;
    for (int64_t z = 0; z < inner->size[2]; z++)
        for (int64_t y = 0; y < inner->size[1]; y++, from += row)
            memcpy((char *)dst + (size_t)(((z + before[2]) * padded->size[1] + y + before[1]) *
                                              padded->size[0] +
                                          before[0]) *
                                     bytes,
                   from, row);
}

/* The normalized image on the padded grid. */
static mf_status make_image(const mf_artifact *volume, const mf_grid *from, const mf_grid *inner,
                            const mf_grid *padded, const int64_t before[3],
                            const mf_sample_settings *settings, mf_sample_report *report,
                            mf_array **image)
{
    mf_array *voxels;
    int64_t count = mf_grid_voxels(inner);
    int64_t shape[3];
    mf_zyx(inner->size, shape);
    MF_TRY(mf_array_new(MF_F32, 3, shape, &voxels));
    /* What a scan has no number for counts as air where air has one, else as no signal. */
    mf_modality known;
    const char *own = mf_artifact_text(volume, "modality");
    bool ct = mf_modality_parse(settings->modality ? settings->modality : own, &known) &&
              known == MF_MODALITY_CT && !mf_volume_normalized(volume);
    mf_status status = mf_resample_artifact(volume, "voxels", from, inner,
                                            ct ? (float)settings->normalize.window[0] : 0,
                                            voxels->data, &report->replaced);
    if (!status)
        status = pick_modality(volume, settings, voxels->data, count, report);
    if (!status)
        status = mf_normalize_voxels(voxels->data, count, report->modality, &settings->normalize,
                                     &report->normalized);
    if (status || !memcmp(inner->size, padded->size, sizeof inner->size)) {
        if (status)
            mf_array_unref(voxels);
        else
            *image = voxels;
        return status;
    }
    int64_t larger[3];
    mf_zyx(padded->size, larger);
    status = mf_array_new(MF_F32, 3, larger, image);
    if (!status)
        place(inner, voxels->data, sizeof(float), padded, before, (*image)->data);
    mf_array_unref(voxels);
    return status;
}

mf_status mf_sample_labels(const mf_array *voxels, const mf_grid *from, const mf_grid *inner,
                           const mf_grid *padded, const int64_t before[3], mf_array **labels)
{
    int64_t shape[3];
    mf_array *made;
    const size_t width = mf_dtype_size(voxels->dtype);
    *labels = NULL;
    mf_zyx(inner->size, shape);
    MF_TRY(mf_array_new(voxels->dtype, 3, shape, &made));
    mf_status status = mf_resample_nearest(from, voxels->data, inner, made->data, width);
    mf_zyx(padded->size, shape);
    if (!status)
        status = mf_array_new(voxels->dtype, 3, shape, labels);
    if (!status)
        place(inner, made->data, width, padded, before, (*labels)->data);
    mf_array_unref(made);
    return status;
}

/* Label values as they are: u16 [z,y,x] on the padded grid. */
static mf_status make_labels(const mf_sample_settings *settings, const mf_grid *from,
                             const mf_grid *inner, const mf_grid *padded, const int64_t before[3],
                             mf_array **labels)
{
    mf_array *raw, *own;
    mf_grid other;
    MF_TRY(mf_artifact_grid(settings->labels, &other));
    if (!mf_grid_equal(from, &other, 1e-3))
        return mf_hint(mf_fail(MF_INVALID, "the labels do not lie on the volume's grid"),
                       "load the labels with labels.load, with the scan as its input `like`");
    MF_TRY(mf_artifact_array(settings->labels, "voxels", &raw));
    mf_status status = mf_label_values(raw, &own);
    mf_array_unref(raw);
    MF_TRY(status);
    status = mf_sample_labels(own, from, inner, padded, before, labels);
    mf_array_unref(own);
    return status;
}

static mf_status add_labels(const mf_artifact *volume, const mf_sample_settings *settings,
                            const mf_grid *from, const mf_grid *inner, const mf_grid *padded,
                            const int64_t before[3], mf_artifact *sample)
{
    const mf_normalize *clip = &settings->normalize;
    mf_array *labels;
    MF_TRY(make_labels(settings, from, inner, padded, before, &labels));
    mf_status status = mf_artifact_add(sample, "labels", labels);
    mf_array_unref(labels);
    MF_TRY(status);
    if (mf_volume_normalized(volume)) /* it says itself how it was clipped, if anybody knows */
        return MF_OK;
    MF_TRY(mf_artifact_set_reals(sample, "window", clip->window, 2));
    return mf_artifact_set_reals(sample, "percentiles", clip->percentiles, 2);
}

static mf_status add_masks(const mf_artifact *masks, const mf_grid *from, const mf_grid *inner,
                           const mf_grid *padded, const int64_t before[3], mf_sample_report *report,
                           mf_artifact *sample)
{
    mf_masks_builder *builder;
    MF_TRY(mf_masks_begin(padded, &builder));
    mf_status status = MF_OK;
    if (masks)
        status = mf_resample_masks(masks, from, inner, before, builder, &report->dropped);
    if (status) {
        mf_masks_abandon(builder);
        return status;
    }
    return mf_masks_finish(builder, sample);
}

static mf_status fill_sample(const mf_artifact *volume, const mf_artifact *masks,
                             const mf_sample_settings *settings, mf_sample_report *report,
                             mf_artifact *sample)
{
    mf_grid from, other, inner, padded;
    int64_t before[3];
    mf_array *image;

    MF_TRY(mf_artifact_grid(volume, &from));
    if (masks) {
        MF_TRY(mf_artifact_grid(masks, &other));
        if (!mf_grid_equal(&from, &other, 1e-3))
            return mf_fail(MF_INVALID, "the masks do not lie on the volume's grid");
    }
    MF_TRY(mf_sample_grids(&from, settings, &inner, &padded, before));
    MF_TRY(make_image(volume, &from, &inner, &padded, before, settings, report, &image));
    mf_status status = mf_artifact_add(sample, "image", image);
    mf_array_unref(image);
    MF_TRY(status);

    MF_TRY(add_masks(masks, &from, &inner, &padded, before, report, sample));
    if (settings->labels) {
        MF_TRY(add_labels(volume, settings, &from, &inner, &padded, before, sample));
        MF_TRY(mf_artifact_copy_names(sample, settings->labels));
    }
    report->masks = mf_masks_count(sample);
    MF_TRY(mf_artifact_inherit(sample, volume));
    MF_TRY(mf_volume_inherit_normalized(sample, volume));
    /* A guess is good enough to normalize by, not to be handed on. */
    if (report->guessed || report->modality == MF_MODALITY_NORMALIZED)
        return MF_OK;
    return mf_artifact_set_text(sample, "modality", mf_modality_text(report->modality));
}

mf_status mf_sample_make(const mf_artifact *volume, const mf_artifact *masks,
                         const mf_sample_settings *settings, mf_sample_report *report,
                         mf_artifact **sample)
{
    *report = (mf_sample_report){0};
    MF_TRY(mf_artifact_new("sample", sample));
    mf_status status = fill_sample(volume, masks, settings, report, *sample);
    if (status) {
        mf_artifact_unref(*sample);
        *sample = NULL;
    }
    return status;
}
