/* beside.c - see beside.h. */
#include "beside.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

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

/* Descriptor `to` of the program. */
static void give(posix_spawn_file_actions_t *files, int from, int to, int mode)
{
    if (from < 0)
        posix_spawn_file_actions_addopen(files, to, "/dev/null", mode, 0);
    else
        posix_spawn_file_actions_adddup2(files, from, to);
}

int beside_start(const char *path, char *const *words, int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    give(&files, in, 0, O_RDONLY);
    give(&files, out, 1, O_WRONLY);
    give(&files, -1, 2, O_WRONLY);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &usual);
    int failed = posix_spawn(pid, path, &files, &how, words, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}
