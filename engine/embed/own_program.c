/* own_program.c - see own_program.h. */
#include "embed/own_program.h"
#include "base/arena.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char library; /* whose address is in the library */

/* Cuts the last part off. */
static char *cut(char *path)
{
    char *last = strrchr(path, '/');

    if (last)
        *last = 0;
    return last ? last + 1 : path;
}

/* The command itself holds the engine, too. */
static char *this_program(void)
{
    char *path = realpath("/proc/self/exe", NULL);
    const char *last = path ? strrchr(path, '/') : NULL;

    if (last && !strcmp(last, "/massflow"))
        return path;
    free(path);
    return NULL;
}

char *mf_program_path(void)
{
    Dl_info about;
    char *file = dladdr(&library, &about) ? realpath(about.dli_fname, NULL) : NULL, *path = NULL;
    mf_text text = {0};

    if (file && !strncmp(cut(file), "libmassflow.so", strlen("libmassflow.so"))) {
        const char *folder = strrchr(file, '/');
        size_t length = strlen(file), own = strlen("/" MF_LIBDIR);
        if (folder && !strcmp(folder, "/engine"))
            mf_text_add(&text, "%.*s/tools/massflow/massflow", (int)(folder - file), file);
        else if (length > own && !strcmp(file + length - own, "/" MF_LIBDIR))
            mf_text_add(&text, "%.*s/bin/massflow", (int)(length - own), file);
        path = text.data;
    }
    free(file);
    if (!path)
        path = this_program();
    if (path && access(path, X_OK)) {
        free(path);
        path = NULL;
    }
    return path;
}
