/* graph_fixture.h - a scratch folder with a few files, the toy stages, and graphs loaded from text.
 * What a message says of the folder's own path is written DIR. */
#ifndef GRAPH_FIXTURE_H
#define GRAPH_FIXTURE_H

#include "../expect.h"
#include "base/arena.h"
#include "graph/data/graph.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const mf_plugin *massflow_plugin(void); /* of tests/plugins/toy.c, which is linked in */

static char scratch[32];
static mf_registry *toys;

static inline void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
}

/* A file and the folders on the way to it. */
static inline void write_below(const char *path, const char *text)
{
    char folder[256];
    for (const char *c = strchr(path, '/'); c; c = strchr(c + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(c - path), path);
        if (access(folder, F_OK))
            ck_assert_int_eq(mkdir(folder, 0700), 0);
    }
    write_file(path, text);
}

static inline void enter_scratch(void)
{
    strcpy(scratch, "/tmp/massflow-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    ck_assert_int_eq(chdir(scratch), 0);
    ck_assert_int_eq(mkdir("scans", 0700), 0);
    ck_assert_int_eq(mkdir("more", 0700), 0);
    ck_assert_int_eq(mkdir("more/a", 0700), 0);
    write_file("scans/a.nii.gz", "");
    write_file("scans/b.nii.gz", "");
    write_file("more/a/t1.nii.gz", "");
    ok(mf_registry_new(&toys));
    ok(mf_registry_add(toys, massflow_plugin(), "toy.so"));
}

/* The plugins whose sources of cases a graph names. */
static inline void load_sources(const char *graph)
{
    static const struct {
        const char *source, *folder, *plugin;
    } all[] = {{"dicom: ", "PLUGINS", "volume"},
               {"nnunet: ", "PLUGINS", "nnunet"},
               {"lines: ", "TEST_PLUGINS", "lines"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[400];
        const char *const file = path;
        snprintf(path, sizeof path, "%s/%s.so", getenv(all[i].folder), all[i].plugin);
        if (strstr(graph, all[i].source))
            ok(mf_registry_load(toys, &file, 1));
    }
}

static inline int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st, (void)flag, (void)walk;
    return remove(path);
}

static inline void leave_scratch(void)
{
    mf_registry_free(toys);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* `text` with the scratch folder's path as DIR; frees it. */
static inline char *without_folder(char *text)
{
    mf_text out = {0};
    for (const char *c = text; *c;) {
        bool here = !strncmp(c, scratch, strlen(scratch));
        mf_text_add_n(&out, here ? "DIR" : c, here ? 3 : 1);
        c += here ? strlen(scratch) : 1;
    }
    free(text);
    return mf_text_take(&out);
}

/* Loads g.yaml; *messages (errors and warnings) is the caller's. */
static inline mf_graph *load(const mf_setting *settings, size_t count, char **messages)
{
    mf_diagnostics *d;
    mf_graph *g;
    ok(mf_diagnostics_new(&d));
    ok(mf_graph_load("g.yaml", toys, settings, count, d, &g));
    ck_assert_int_eq(mf_diagnostics_errors(d) > 0, !g);
    *messages = without_folder(mf_diagnostics_text(d));
    mf_diagnostics_free(d);
    return g;
}

/* A graph that must be right. */
static inline mf_graph *load_text(const char *text)
{
    char *messages;
    write_file("g.yaml", text);
    mf_graph *g = load(NULL, 0, &messages);
    ck_assert_str_eq(messages, "");
    free(messages);
    return g;
}

#endif
