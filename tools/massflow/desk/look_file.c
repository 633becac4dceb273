/* look_file.c - a result that Look shows, as a file to save. */
#include "look.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The bytes of a file; the caller frees. */
static mf_status read_file(const char *path, char **bytes, size_t *size)
{
    FILE *f = fopen(path, "re");
    long length = -1;
    *bytes = NULL;
    if (f && !fseek(f, 0, SEEK_END) && (length = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET))
        *bytes = malloc((size_t)length + 1);
    const bool good = *bytes && fread(*bytes, 1, (size_t)length, f) == (size_t)length;
    if (f)
        fclose(f);
    *size = (size_t)length;
    if (good)
        return MF_OK;
    free(*bytes);
    *bytes = NULL;
    return mf_fail(MF_IO, "%s could not be read back", path);
}

/* As a NIfTI on the grid of the scan's own file, by the writer that `massflow get` has. */
static mf_status write_nifti(desk_request *q, const mf_artifact *artifact, char **bytes,
                             size_t *size)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL, *path = NULL;
    mf_workspace *w;
    *bytes = NULL;
    *size = 0;
    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = MF_OK;
    if (asprintf(&folder, "%s/massflow-desk-XXXXXX", base && *base ? base : "/tmp") < 0)
        folder = NULL;
    if (!folder || !mkdtemp(folder))
        status = mf_fail(MF_IO, "no folder for a file: %m");
    else if (asprintf(&path, "%s/export.nii.gz", folder) < 0)
        status = mf_no_memory(0, "a file name");
    if (!status)
        status = mf_workspace_write_artifact(w, artifact, path, false);
    if (!status)
        status = read_file(path, bytes, size);
    if (path)
        unlink(path);
    if (folder)
        rmdir(folder);
    free(path);
    free(folder);
    mf_workspace_close(w);
    return status;
}

mf_status desk_look_file(desk_request *q, desk_reply *r)
{
    mf_artifact *artifact;
    char *bytes, name[64];
    size_t size;
    MF_TRY(desk_artifact(q, &artifact));
    mf_status status = write_nifti(q, artifact, &bytes, &size);
    if (!status) {
        snprintf(name, sizeof name, "%s-%.8s.nii.gz", mf_artifact_type(artifact),
                 mf_artifact_id(artifact));
        desk_reply_bytes(r, "application/gzip", bytes, size);
        desk_reply_download(r, name);
    }
    mf_artifact_unref(artifact);
    return status;
}
