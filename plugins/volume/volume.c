/* volume.c - plugin "volume": scans and label maps from files, and back into files. */
#include "dicom/dicom_cases.h"
#include "load.h"
#include "reader.h"
#include "volume_stages.h"
#include "write.h"

mf_status volume_parts(const char *param, const char *path, mf_part_call call, void *self)
{
    (void)param;
    return scan_parts(path, call, self);
}

#define SUFFIXES ".nii.gz .nii .nrrd .mha"

static mf_status read_volume(const char *path, mf_artifact **volume)
{
    const load_options options = {
        .read = {.time = -1}, .orient = "RAS", .crop = "none", .modality = "auto"};
    scan notes;

    return load_volume(path, &options, &notes, volume);
}

static const mf_type volume_type = {.name = "volume",
                                    .suffixes = SUFFIXES,
                                    .write = write_volume,
                                    .reads = SUFFIXES " .hdr .nhdr .mhd .dcm /",
                                    .read = read_volume};
/* .txt and .ctbl: the names of its values, for ITK-SNAP and for 3D Slicer. */
static const mf_type labels_type = {
    .name = "labels", .suffixes = SUFFIXES " .txt .ctbl", .write = write_labels};
/* Mask k has the value k + 1. Where masks overlap the file gets a fourth axis, in as few layers as
 * keep every mask whole. */
static const mf_type masks_type = {.name = "masks", .suffixes = SUFFIXES, .write = write_masks};
static const mf_type seeds_type = {.name = "seeds", .suffixes = SUFFIXES, .write = write_masks};
static const mf_type probabilities_type = {
    .name = "probabilities", .suffixes = SUFFIXES, .write = write_probabilities};
static const mf_type *const types[] = {&volume_type, &labels_type,        &masks_type,
                                       &seeds_type,  &probabilities_type, NULL};

static const mf_case_source *const sources[] = {&dicom_cases, NULL};

MF_PLUGIN_WITH_SOURCES("volume", types, sources, &volume_load, &labels_load, &volume_crop,
                       &labels_merge, &volume_resample, &labels_resample, &volume_pad,
                       &volume_window, &labels_remap)
