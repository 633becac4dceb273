/* beside.c - see beside.h. */
#include "beside.h"
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *beside_module(const char *program)
{
    Dl_info info;
    struct link_map *map = NULL;
    const char *module = "/proc/self/exe";
    char *path = NULL;
    if (dladdr1((void *)(uintptr_t)beside_module, &info, (void **)&map, RTLD_DL_LINKMAP) && map &&
        map->l_name[0])
        module = map->l_name;
    char *real = realpath(module, NULL), *slash = real ? strrchr(real, '/') : NULL;
    if (slash && asprintf(&path, "%.*s/%s", (int)(slash - real), real, program) < 0)
        path = NULL;
    free(real);
    return path;
}
