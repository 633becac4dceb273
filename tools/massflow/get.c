/* get.c - the command get: a result as a file, or several as files of a folder (get_many.c). */
#include "get.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int get_port(const workspace *w, const mf_target *target, const mf_plan_node *n, const char *file,
             uint32_t *port)
{
    mf_status status = mf_opened_port(w, target, n, file, port);

    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static mf_status write_file(const args *a, const workspace *w, const mf_artifact *artifact,
                            const char *file, const mf_output_rule *rule)
{
    mf_partials_sweep(file);
    return mf_write_output(w->registry, artifact, file, args_value(a, "array"), rule, NULL, NULL);
}

/* A single result goes into a folder only where it is named as one: "out/". */
static bool ends_as_folder(const char *path)
{
    const size_t length = strlen(path);

    return length && path[length - 1] == '/';
}

/* More than one node is named, or a folder to put them in. */
static int get_folder(const args *a, const char *folder)
{
    struct stat s;
    workspace w;
    int code;

    if (!ends_as_folder(folder) && !(stat(folder, &s) == 0 && S_ISDIR(s.st_mode)))
        return command_refuse("several results go into a folder: -o %s/", folder);
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = get_many(a, &w, folder);
    workspace_close(&w);
    return code;
}

/* Of a file's path without its suffix, which may be one of two parts. */
static int bare_length(const char *file)
{
    static const char *const two[] = {".nii.gz", ".seg.nrrd"};
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    const char *dot = strrchr(name, '.');
    const size_t length = strlen(file);

    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (strlen(name) > strlen(two[i]) && !strcmp(file + length - strlen(two[i]), two[i]))
            return (int)(length - strlen(two[i]));
    return (int)(dot && dot > name ? (size_t)(dot - file) : length);
}

/* With --names: "seg.nii.gz" gets seg.txt and seg.ctbl beside it. */
int get_names(const args *a, const workspace *w, const mf_artifact *artifact, const char *file,
              const mf_output_rule *rule)
{
    static const char *const suffixes[] = {".txt", ".ctbl"};
    const int length = bare_length(file);

    if (!args_has(a, "names") || strcmp(mf_artifact_type(artifact), "labels") != 0)
        return EXIT_DONE;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *path;
        if (asprintf(&path, "%.*s%s", length, file, suffixes[i]) < 0)
            return command_fail(mf_no_memory(0, "a path"), EXIT_FAILED);
        mf_status status = mf_write_output(w->registry, artifact, path, NULL, rule, NULL, NULL);
        if (!status)
            printf("%s\n", path);
        free(path);
        if (status)
            return command_fail(status, EXIT_FAILED);
    }
    return EXIT_DONE;
}

static int get(const args *a)
{
    const char *file = args_value(a, "output");
    workspace w;
    located f = {0};
    mf_output_rule rule;
    mf_status status;
    int code;

    if (!file)
        return command_refuse("no output file is given: massflow get %s '%s' -o FILE",
                              args_at(a, 0), args_at(a, 1));
    if (args_count(a) > 2 || ends_as_folder(file))
        return get_folder(a, file);
    if (args_has(a, "suffix") || args_has(a, "skip-missing") || args_has(a, "remove-stale") ||
        args_has(a, "nnunet"))
        return command_refuse(
            "--suffix, --skip-missing, --remove-stale and --nnunet are for results "
            "that go into a folder: -o FOLDER/");
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = workspace_artifact(a, &w, args_at(a, 1), file, &f);
    if (!code)
        code = workspace_rule(a, &w, true, &rule);
    if (!code) {
        status = write_file(a, &w, f.artifact, file, &rule);
        if (status)
            code = command_fail(status, EXIT_FAILED);
        else
            printf("%s\n", file);
        if (!code)
            code = get_names(a, &w, f.artifact, file, &rule);
    }
    located_clear(&f);
    workspace_close(&w);
    return code;
}

static const option get_options[] = {
    {'o', "output", "FILE", "output file; its suffix determines the format. Or a folder: DIR/"},
    {0, "suffix", "SUFFIX", "format of the files of a folder: nii.gz, npy ...; default: by type"},
    {0, "skip-missing", NULL, "into a folder: leave out what is not in the cache"},
    {0, "remove-stale", NULL,
     "of a folder: remove files of nodes that the graph does not have now"},
    {0, "array", "NAME", "write only this array (.npy)"},
    {0, "names", NULL, "beside a label map its names, as .txt (ITK-SNAP) and .ctbl (3D Slicer)"},
    {0, "nnunet", NULL, "into a folder: volumes and label maps as a raw data set of nnU-Net v2"},
    OPTION_FORCE,
    OPTION_SET,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_get = {
    "get",
    "GRAPH NODE[.PORT]...",
    "write a result to a file: .nii.gz, .npy, .png, .csv, .json, .safetensors ...",
    "Results that belong to a scan are written on the scan's own grid. An existing file is "
    "replaced\n"
    "if massflow wrote it and it has not changed since.\n"
    "Into a folder, NODE may be a stage or some of its nodes: 'seg', 'seg[seed=1]'. A file has the "
    "name\n"
    "of its node: seg-case=012-seed=1.nii.gz. With --nnunet: imagesTr/012_0000.nii.gz,\n"
    "labelsTr/012.nii.gz and a dataset.json with the names of the labels.",
    get_options,
    2,
    -1,
    get};
