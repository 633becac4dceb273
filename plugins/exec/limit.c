/* limit.c - see limit.h. */
#include "limit.h"
#include "back.h"
#include "table.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GB 1e9

int64_t limit_used(const char *folder)
{
    char *const roots[] = {(char *)folder, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *entry;
    int64_t used = 0;

    while (walk && (entry = fts_read(walk)))
        if (entry->fts_info == FTS_F)
            used += (int64_t)entry->fts_statp->st_blocks * 512;
    if (walk)
        fts_close(walk);
    return used;
}

static mf_status allow_more(mf_status status, double limit)
{
    return mf_hint(status, "if this is intended, raise the limit: disk_limit: %g", 2 * limit);
}

mf_status limit_check_folder(const char *folder, int64_t before, double limit)
{
    if ((double)(limit_used(folder) - before) <= limit * GB)
        return MF_OK;
    return allow_more(mf_fail(MF_INVALID,
                              "the command has written more than %g GB to its folder, %s", limit,
                              folder),
                      limit);
}

/* As its reader has it; 0: none of its own. */
static int64_t most_of(const exec_port *port)
{
    return !strcmp(port->name, "text")    ? MOST_TEXT_BYTES
           : !strcmp(port->name, "table") ? MOST_TABLE_BYTES
           : !strcmp(port->name, "file")  ? (int64_t)MF_FILE_MOST
                                          : 0;
}

static mf_status check_output(const char *path, const exec_port *port, double limit)
{
    struct stat about;
    int64_t most = most_of(port);

    if (lstat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return MF_OK;
    if (most && about.st_size > most)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: has more than the %lld bytes that are read",
                               path, (long long)most),
                       "the command must write less to it");
    if ((double)about.st_size <= limit * GB)
        return MF_OK;
    return allow_more(mf_fail(MF_INVALID, "%s: has more than %g GB", path, limit), limit);
}

static mf_status check_port(const char *folder, const exec_port *port, const char *suffixes,
                            double limit)
{
    for (const char *s = suffixes; *s;) {
        int n = (int)strcspn(s, " ");
        char *path;
        if (asprintf(&path, "%s/%s%.*s", folder, port->name, n, s) < 0)
            return mf_no_memory(0, "a command");
        mf_status status = check_output(path, port, limit);
        free(path);
        MF_TRY(status);
        s += n + (s[n] == ' ');
    }
    return MF_OK;
}

mf_status limit_check_outputs(const char *folder, const output_suffix *wanted, double limit)
{
    for (size_t i = 0; exec_outputs[i].name; i++)
        MF_TRY(check_port(folder, &exec_outputs[i],
                          wanted[i][0] ? wanted[i] : exec_outputs[i].suffixes, limit));
    return MF_OK;
}
