/* assets.c - the files of the page, which are part of the program. */
#include "desk_files.h"
#include "parts.h"

#include <string.h>

static const char *type_of(const char *name)
{
    const char *suffix = strrchr(name, '.');

    if (!strcmp(suffix, ".html"))
        return "text/html; charset=utf-8";
    if (!strcmp(suffix, ".css"))
        return "text/css; charset=utf-8";
    if (!strcmp(suffix, ".svg"))
        return "image/svg+xml";
    return "text/javascript; charset=utf-8";
}

bool desk_asset(const char *path, desk_reply *r)
{
    const char *name = strcmp(path, "/") ? path + 1 : "index.html";

    for (const struct embedded *f = embedded_files; f->name; f++)
        if (!strcmp(f->name, name)) {
            desk_reply_static(r, type_of(name), f->text, strlen(f->text));
            return true;
        }
    return false;
}
