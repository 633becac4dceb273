/* write.c - choosing a writer, and where it writes. */
#include "run/artifact/write.h"
#include "run/output/partial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const mf_type writers[] = {
    {.name = "volume",   .suffixes = ".npy",         .write = mf_write_npy},
    {.name = "labels",   .suffixes = ".npy",         .write = mf_write_npy},
    {.name = "slices",   .suffixes = ".npy",         .write = mf_write_npy},
    {.name = "image",    .suffixes = ".npy",         .write = mf_write_npy},
    {.name = "features", .suffixes = ".npy",         .write = mf_write_npy},
    {.name = "sample",   .suffixes = ".npy",         .write = mf_write_npy_image},
    {.name = "features", .suffixes = ".safetensors", .write = mf_write_safetensors},
    {.name = "model",    .suffixes = ".safetensors", .write = mf_write_safetensors},
    {.name = "embedding", .suffixes = ".safetensors", .write = mf_write_safetensors},
    {.name = "image",    .suffixes = ".png",         .write = mf_write_png},
    {.name = "table",    .suffixes = ".csv",         .write = mf_write_csv},
    {.name = "text",     .suffixes = ".txt",         .write = mf_write_txt},
    {.name = "file",     .suffixes = "*",            .write = mf_write_file},
    {.name = "volume",   .suffixes = ".json",        .write = mf_write_json},
    {.name = "labels",   .suffixes = ".json",        .write = mf_write_json},
    {.name = "slices",   .suffixes = ".json",        .write = mf_write_json},
    {.name = "masks",    .suffixes = ".json",        .write = mf_write_json},
    {.name = "seeds",    .suffixes = ".json",        .write = mf_write_json},
    {.name = "sample",   .suffixes = ".json",        .write = mf_write_json},
    {.name = "model",    .suffixes = ".json",        .write = mf_write_json},
    {.name = "features", .suffixes = ".json",        .write = mf_write_json},
    {.name = "embedding", .suffixes = ".json",       .write = mf_write_json},
    {.name = "probabilities", .suffixes = ".json",   .write = mf_write_json},
    {.name = "table",    .suffixes = ".json",        .write = mf_write_json},
    {.name = "image",    .suffixes = ".json",        .write = mf_write_json},
    {.name = "text",     .suffixes = ".json",        .write = mf_write_json},
};
/* clang-format on */
#define WRITER_COUNT (sizeof writers / sizeof *writers)

mf_status mf_write_register(mf_registry *registry)
{
    static const mf_stage *const no_stages[] = {NULL};
    static const mf_type *types[WRITER_COUNT + 1];
    static const mf_plugin plugin = {MF_ABI_MAJOR,     MF_ABI_MINOR,    sizeof(mf_stage),
                                     sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
                                     "massflow",       no_stages,       types};

    for (size_t i = 0; i < WRITER_COUNT; i++)
        types[i] = &writers[i];
    return mf_registry_add(registry, &plugin, "massflow itself");
}

static mf_status no_writer(const mf_registry *registry, const mf_artifact *a)
{
    char *suffixes = mf_registry_suffixes(registry, mf_artifact_type(a));
    mf_status status =
        mf_fail(MF_UNSUPPORTED, "no writer takes a %s by this suffix", mf_artifact_type(a));

    status = mf_hint(status, "suffixes for %s: %s", mf_artifact_type(a),
                     suffixes && *suffixes ? suffixes : "none");
    free(suffixes);
    return status;
}

static mf_status write_at(const mf_registry *registry, const mf_artifact *a, const char *path,
                          const char *array)
{
    const mf_type *type = mf_registry_writer(registry, mf_artifact_type(a), path);
    size_t length = strlen(path);

    if (array && (length < 4 || strcmp(path + length - 4, ".npy")))
        return mf_fail(MF_INVALID, "one array alone is written as .npy");
    if (array)
        return mf_write_npy_array(a, path, array);
    return type ? type->write(a, path) : no_writer(registry, a);
}

mf_status mf_write_artifact(const mf_registry *registry, const mf_artifact *artifact,
                            const char *path, const char *array)
{
    mf_partial partial;
    mf_status status;

    MF_TRY(mf_partial_begin(path, &partial));
    status = write_at(registry, artifact, partial.file, array);
    if (!status)
        status = mf_partial_end(&partial);
    mf_partial_drop(&partial);
    return mf_within(status, "writing %s", path);
}

mf_status mf_write_output(const mf_registry *registry, const mf_artifact *artifact,
                          const char *path, const char *array, const mf_output_rule *rule,
                          const char *known, char digest[MF_HEX_SIZE])
{
    mf_output *output;
    mf_status status;

    MF_TRY(mf_output_begin(path, rule, known, &output));
    status = write_at(registry, artifact, mf_output_file(output), array);
    if (!status)
        return mf_output_end(output, digest);
    mf_output_drop(output);
    return mf_within(status, "writing %s", path);
}
