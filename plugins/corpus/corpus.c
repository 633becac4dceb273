/* corpus.c - plugin "corpus": data sets as the official MASS code lays them out, read and written.
 */
#include "corpus_stages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The file as it is. */
static mf_status write_masks(const mf_artifact *a, const char *path)
{
    mf_array *bytes;
    MF_TRY(mf_artifact_array(a, "file", &bytes));
    FILE *file = fopen(path, "wbe");
    mf_status status = file ? MF_OK : mf_fail(MF_IO, "%s", strerror(errno));
    if (file) {
        errno = 0;
        bool bad = fwrite(bytes->data, 1, bytes->bytes, file) != bytes->bytes;
        bad |= fclose(file) != 0;
        if (bad)
            status = mf_fail(MF_IO, "%s", errno ? strerror(errno) : "writing failed");
    }
    mf_array_unref(bytes);
    return status;
}

static const mf_type mass_masks = {.name = "mass_masks",
                                   .help = "masks of many scans as one HDF5 file",
                                   .arrays = "file:u8[n]",
                                   .attributes = "",
                                   .suffixes = ".h5",
                                   .write = write_masks};
static const mf_type *const types[] = {&mass_masks, NULL};
static const mf_case_source *const sources[] = {&autopet_cases, &mass_cases, &mass_labels_cases,
                                                NULL};

MF_PLUGIN_WITH_SOURCES("corpus", types, sources, &mf_stage_mass_import, &mf_stage_mass_export)
