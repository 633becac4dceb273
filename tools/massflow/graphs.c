/* graphs.c - the command graphs: the graphs that come with an installation, and copies of them to
 * work with. A cache lies beside its graph, so an installed one is copied before it is run. */
#include "command.h"

#include <massflow/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PREFIX/bin/massflow has PREFIX/share/massflow/graphs, wherever PREFIX is; a build tree has none
 * of its own. The caller frees. */
static char *find_graphs(void)
{
    char program[4096], *folder = NULL;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    program[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 2; up++)
        if ((slash = strrchr(program, '/')))
            *slash = '\0';
    if (asprintf(&folder, "%s/" MF_DATADIR "/massflow/graphs", program) < 0)
        return NULL;
    if (access(folder, R_OK) == 0)
        return folder;
    free(folder);
    return NULL;
}

/* ---- listing --------------------------------------------------------------------------------- */

typedef struct found {
    char **paths;
    size_t count;
    bool failed;
} found;

/* nftw has no argument of the caller's. */
static found walked;

static int take(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)at;
    if (kind != FTW_F)
        return 0;
    char **grown = mf_list_more(walked.paths, walked.count, sizeof *grown);
    char *copy = strdup(path);
    if (grown)
        walked.paths = grown;
    walked.failed = !grown || !copy;
    if (walked.failed)
        free(copy);
    else
        walked.paths[walked.count++] = copy;
    return walked.failed;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All files below the folder, in order. False without memory. */
static bool walk(const char *folder)
{
    walked = (found){0};
    nftw(folder, take, 16, FTW_PHYS);
    if (walked.count)
        qsort(walked.paths, walked.count, sizeof *walked.paths, by_text);
    return !walked.failed;
}

static void forget(void)
{
    for (size_t i = 0; i < walked.count; i++)
        free(walked.paths[i]);
    free(walked.paths);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t a = strlen(text), b = strlen(end);

    return a >= b && !strcmp(text + a - b, end);
}

/* "pretrain.yaml   learn an encoder from scans without labels": the file's own first line. */
static void print_graph(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    char line[256] = "", *words = NULL;

    if (file && fgets(line, sizeof line, file))
        words = strstr(line, " - ");
    if (words)
        words[strcspn(words, "\n")] = '\0';
    printf("%-34s %s\n", name, words ? words + 3 : "");
    if (file)
        fclose(file);
}

static void list(const char *folder)
{
    for (size_t i = 0; i < walked.count; i++)
        if (ends_with(walked.paths[i], ".yaml"))
            print_graph(walked.paths[i], walked.paths[i] + strlen(folder) + 1);
    printf("\nThey lie in %s. A copy to work with:\n  massflow graphs -o graphs\n", folder);
}

/* ---- copying --------------------------------------------------------------------------------- */

static mf_status make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        mf_status status = made ? MF_OK : mf_fail(MF_IO, "%s: %s", path, strerror(errno));
        *slash = '/';
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status copy_bytes(const char *from, const char *to, FILE *in, FILE *out)
{
    char block[65536];
    size_t size;

    while ((size = fread(block, 1, sizeof block, in)) > 0)
        if (fwrite(block, 1, size, out) != size)
            return mf_fail(MF_IO, "%s: %s", to, strerror(errno));
    return ferror(in) ? mf_fail(MF_IO, "%s: %s", from, strerror(errno)) : MF_OK;
}

static mf_status copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "re"), *out = in ? fopen(to, "wxe") : NULL;
    mf_status status;

    if (!in || !out) {
        status = mf_fail(MF_IO, "%s: %s", in ? to : from, strerror(errno));
        if (in)
            fclose(in);
        return status;
    }
    status = copy_bytes(from, to, in, out);
    fclose(in);
    if (fclose(out) != 0 && !status)
        status = mf_fail(MF_IO, "%s: %s", to, strerror(errno));
    return status;
}

static mf_status copy_all(const char *folder, const char *to)
{
    for (size_t i = 0; i < walked.count; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s", to, walked.paths[i] + strlen(folder)) < 0)
            return mf_no_memory(0, "a path");
        mf_status status = make_folders(path);
        if (!status)
            status = copy_file(walked.paths[i], path);
        free(path);
        MF_TRY(status);
    }
    printf("%s: %zu files; begin with: massflow run %s/quickstart.yaml\n", to, walked.count, to);
    return MF_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int tell(const char *folder, const char *to)
{
    mf_status status = MF_OK;

    if (!walk(folder))
        status = mf_no_memory(0, "a list of files");
    else if (!to)
        list(folder);
    else if (access(to, F_OK) == 0)
        status = mf_hint(mf_fail(MF_INVALID, "%s: exists", to), "name a folder that is new");
    else
        status = copy_all(folder, to);
    forget();
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static int graphs(const args *a)
{
    char *folder = find_graphs();
    int code;

    if (!folder)
        return command_refuse("this massflow is not installed; its graphs lie in the folder graphs "
                              "of its sources");
    code = tell(folder, args_value(a, "output"));
    free(folder);
    return code;
}

static const option options[] = {
    {'o', "output", "DIR", "copy all of them, with the small model, into this new folder"},
    OPTION_END};

const command command_graphs = {
    "graphs",
    "",
    "list the graphs that are installed with massflow, or copy them",
    "A cache lies beside its graph: copy the installed graphs before you run them.",
    options,
    0,
    0,
    graphs};
