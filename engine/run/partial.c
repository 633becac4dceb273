/* partial.c - see partial.h. ".writing-MACHINE-PID-START-NAME": the machine as 8 digits of a
 * digest. */
#include "run/partial.h"
#include "store/digest.h"
#include "store/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX ".writing-"

static void digits_of(const mf_process *p, char digits[9])
{
    char hex[MF_HEX_SIZE];

    mf_digest_hex(p->machine, strlen(p->machine), hex);
    snprintf(digits, 9, "%.8s", hex);
}

static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash + 1 - path) : 0;
}

mf_status mf_partial_name(const char *path, char **name)
{
    int folder = folder_length(path);
    mf_process self;
    char digits[9];

    mf_process_self(&self);
    digits_of(&self, digits);
    if (asprintf(name, "%.*s" PREFIX "%s-%lld-%lld-%s", folder, path, digits, (long long)self.pid,
                 (long long)self.start, path + folder) >= 0)
        return MF_OK;
    *name = NULL;
    return mf_fail(MF_NO_MEMORY, "no memory to write %s", path);
}

static bool is_left(const char *name, const mf_process *self)
{
    char digits[9], theirs[9];
    long long pid, start;
    mf_process owner = *self;
    int length = 0;

    digits_of(self, digits);
    if (sscanf(name, PREFIX "%8[0-9a-f]-%lld-%lld-%n", theirs, &pid, &start, &length) != 3 ||
        !length || strcmp(digits, theirs) != 0)
        return false;
    owner.pid = pid;
    owner.start = start;
    return mf_process_gone(&owner);
}

void mf_partials_sweep(const char *path)
{
    char *name = strndup(path, (size_t)folder_length(path));
    DIR *folder = name ? opendir(*name ? name : ".") : NULL;
    struct dirent *entry;
    mf_process self;

    mf_process_self(&self);
    while (folder && (entry = readdir(folder))) {
        if (is_left(entry->d_name, &self))
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
    free(name);
}
