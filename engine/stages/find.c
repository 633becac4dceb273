/* find.c - where plugins lie: a folder of the user's, MASSFLOW_PLUGINS, and the folder that belongs
 * to the running program (build tree or installation). */
#include "base/arena.h"
#include "stages/stages.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char library; /* whose address is in what this code was linked into */

typedef struct files {
    char **names;
    size_t count, room;
} files;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_module(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && name[0] != '.' && !strcmp(name + length - 3, ".so");
}

/* Appends the modules of a folder in order of name. */
static mf_status list_folder(files *f, const char *folder)
{
    DIR *stream = opendir(folder);
    size_t first = f->count;
    if (!stream)
        return mf_fail(MF_NOT_FOUND, "cannot read the plugin folder %s: %s", folder,
                       strerror(errno));
    for (struct dirent *e; (e = readdir(stream));) {
        if (!is_module(e->d_name))
            continue;
        mf_text path = {0};
        mf_text_add(&path, "%s/%s", folder, e->d_name);
        f->names = mf_grow(f->names, &f->room, f->count + 1, sizeof *f->names);
        f->names[f->count++] = mf_text_take(&path);
    }
    closedir(stream);
    if (f->count > first)
        qsort(f->names + first, f->count - first, sizeof *f->names, by_text);
    return MF_OK;
}

/* The folders of MASSFLOW_PLUGINS. */
static mf_status list_variable(files *f)
{
    const char *rest = getenv("MASSFLOW_PLUGINS");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        if (length) {
            char *folder = strndup(rest, length);
            mf_status status = folder ? list_folder(f, folder) : mf_no_memory(0, "a folder's name");
            free(folder);
            MF_TRY(mf_within(status, "MASSFLOW_PLUGINS"));
        }
        rest += length + (rest[length] == ':');
    }
    return MF_OK;
}

/* The library's own: BUILD/engine/libmassflow.so.1 has BUILD/plugins, and PREFIX/LIB has
 * PREFIX/LIB/massflow. NULL where this code is not in the library, but in a program. */
static char *beside_library(void)
{
    Dl_info about;
    char *file = dladdr(&library, &about) ? realpath(about.dli_fname, NULL) : NULL;
    char *name = file ? strrchr(file, '/') : NULL, *folder = NULL;
    if (name && !strncmp(name, "/libmassflow.so", strlen("/libmassflow.so"))) {
        mf_text text = {0};
        *name = 0;
        name = strrchr(file, '/');
        if (name && !strcmp(name, "/engine"))
            mf_text_add(&text, "%.*s/plugins", (int)(name - file), file);
        else
            mf_text_add(&text, "%s/massflow", file);
        folder = mf_text_take(&text);
    }
    free(file);
    return folder;
}

static mf_status list_beside_library(files *f)
{
    char *folder = beside_library();
    mf_status status = folder && !access(folder, F_OK) ? list_folder(f, folder) : MF_OK;
    free(folder);
    return status;
}

/* BUILD/tools/NAME/NAME has BUILD/plugins; PREFIX/bin/massflow has PREFIX/LIB/massflow. A program
 * elsewhere, such as one that embeds the library, has none of its own. */
static mf_status list_own(files *f)
{
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    mf_text folder = {0};
    mf_status status = MF_OK;
    if (length <= 0)
        return MF_OK;
    program[length] = 0;
    *strrchr(program, '/') = 0; /* the path is absolute: there is one */
    char *last = strrchr(program, '/');
    if (!last)
        return MF_OK;
    *last = 0; /* above the program's folder: PREFIX or BUILD/tools */
    char *tools = strrchr(program, '/');
    if (tools && !strcmp(tools, "/tools"))
        mf_text_add(&folder, "%.*s/plugins", (int)(tools - program), program);
    else
        mf_text_add(&folder, "%s/" MF_LIBDIR "/massflow", program);
    if (!access(folder.data, F_OK))
        status = list_folder(f, folder.data);
    free(folder.data);
    return status;
}

mf_status mf_registry_load_standard(mf_registry *registry, const char *folder)
{
    files f = {0};
    mf_status status = folder ? list_folder(&f, folder) : MF_OK;
    if (!status)
        status = list_variable(&f);
    if (!status)
        status = list_own(&f);
    if (!status)
        status = list_beside_library(&f);
    if (!status)
        status = mf_registry_load(registry, (const char *const *)f.names, f.count);
    for (size_t i = 0; i < f.count; i++)
        free(f.names[i]);
    free(f.names);
    return status;
}
