/* own_graph.c - see own_graph.h. */
#include "own_graph.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A text in double quotes: a string of JSON is one of YAML. */
void own_graph_put_text(FILE *f, const char *text)
{
    json_object *o = json_object_new_string(text);
    fputs(
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        f);
    json_object_put(o);
}

/* A list is written as it is; with a line break of YAML in it, it could say more than its
 * parameter.
 */
static bool is_list(const char *value)
{
    return *value == '[' && !strpbrk(value, "\n\r") && !strstr(value, "\xc2\x85") &&
           !strstr(value, "\xe2\x80\xa8") && !strstr(value, "\xe2\x80\xa9");
}

static void put_settings(FILE *f, const own_graph *g)
{
    if (g->setting_count)
        fprintf(f, "params:\n");
    for (size_t i = 0; i < g->setting_count; i++) {
        fprintf(f, "  set_%zu: ", i);
        if (is_list(g->settings[i].value))
            fputs(g->settings[i].value, f);
        else
            own_graph_put_text(f, g->settings[i].value);
        fputc('\n', f);
    }
    fprintf(f, "include:\n  graph:\n    file: ");
    own_graph_put_text(f, g->graph);
    if (g->setting_count)
        fprintf(f, "\n    set:");
    for (size_t i = 0; i < g->setting_count; i++) {
        fprintf(f, "\n      ");
        own_graph_put_text(f, g->settings[i].name);
        fprintf(f, ": \"${set_%zu}\"", i);
    }
    fputc('\n', f);
}

void own_graph_put_result(FILE *f, const char *port, const char *output)
{
    char *name = NULL;
    fprintf(f, "%s: ", port);
    if (asprintf(&name, "graph.%s", output) > 0)
        own_graph_put_text(f, name);
    free(name);
}

static mf_status write_whole(const char *path, const char *text, size_t size)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return mf_fail(MF_IO, "%s cannot be written: %s", path, strerror(errno));
    bool good = fwrite(text, 1, size, f) == size;
    good = fclose(f) == 0 && good;
    return good ? MF_OK : mf_fail(MF_IO, "%s cannot be written: %s", path, strerror(errno));
}

mf_status own_graph_lock(const own_graph *g, int *lock)
{
    *lock = -1;
    if (mkdir(g->folder, 0777) && errno != EEXIST)
        return mf_fail(MF_IO, "the folder %s cannot be made: %s", g->folder, strerror(errno));
    int folder = open(g->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), failed;
    do
        failed = folder < 0 ? -1 : flock(folder, LOCK_EX);
    while (failed && folder >= 0 && errno == EINTR);
    if (failed) {
        mf_status status =
            mf_fail(MF_IO, "the folder %s cannot be locked: %s", g->folder, strerror(errno));
        if (folder >= 0)
            close(folder);
        return status;
    }
    *lock = folder;
    return MF_OK;
}

mf_status own_graph_write(const own_graph *g, const char *name,
                          void (*put)(FILE *f, const void *self), const void *self, char **path)
{
    char *text = NULL;
    size_t size = 0;
    *path = NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return mf_no_memory(0, "a graph");
    fprintf(f, "# What was asked for in 'massflow desk'.\nmassflow: 1\n");
    put_settings(f, g);
    fprintf(f, "stages:\n");
    put(f, self);
    bool good = !ferror(f);
    good = fclose(f) == 0 && good && asprintf(path, "%s/%s", g->folder, name) > 0;
    if (!good) {
        free(text);
        *path = NULL;
        return mf_no_memory(0, "a graph");
    }
    mf_status status = write_whole(*path, text, size);
    free(text);
    if (status) {
        free(*path);
        *path = NULL;
    }
    return status;
}
