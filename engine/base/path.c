/* path.c - see path.h. */
#include "base/path.h"
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *mf_real_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path + (slash == path))) : strdup(".");
    char *real = folder ? realpath(folder, NULL) : NULL;

    free(folder);
    return real;
}

char *mf_real_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = mf_real_folder(path), *name = NULL;

    if (folder &&
        asprintf(&name, "%s/%s", strcmp(folder, "/") ? folder : "", slash ? slash + 1 : path) < 0)
        name = NULL;
    free(folder);
    return name;
}

char *mf_shell_word(const char *text, bool always)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    mf_text word = {0};

    if (!always && *text && *text != '-' && text[strspn(text, plain)] == '\0') {
        mf_text_add(&word, "%s", text);
        return mf_text_take(&word);
    }
    mf_text_add(&word, "'");
    for (size_t n; *text; text += n) {
        n = strcspn(text, "'");
        mf_text_add_n(&word, text, n);
        if (text[n])
            mf_text_add(&word, "'\\''");
        n += text[n] != '\0';
    }
    mf_text_add(&word, "'");
    return mf_text_take(&word);
}

bool mf_path_leads_down(const char *name)
{
    while (*name) {
        size_t length = strcspn(name, "/");
        if (!length || (*name == '.' && (length == 1 || (length == 2 && name[1] == '.'))))
            return false;
        name += length;
        while (*name == '/')
            name++;
    }
    return true;
}
