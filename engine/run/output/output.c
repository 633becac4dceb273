/* output.c - see output.h. */
#include "run/output/output.h"
#include "base/path.h"
#include "run/output/partial.h"
#include <massflow/file.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct mf_output {
    mf_partial partial;
    const mf_output_rule *rule;
    const char *known;
};

/* ---- what is there --------------------------------------------------------------------------- */

/* A folder, and all that lies in it. */
static bool lies_in(const char *path, const char *folder)
{
    char *real = mf_real_folder(path), *outer = realpath(folder, NULL);
    size_t length = outer ? strlen(outer) : 0;
    bool inside = real && outer && !strncmp(real, outer, length) &&
                  (real[length] == '/' || real[length] == '\0');

    free(real);
    free(outer);
    return inside;
}

static bool same_file(const char *path, const char *other)
{
    struct stat a, b;

    return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Whatever is asked for. */
static mf_status check_kept(const char *path, const mf_output_rule *rule)
{
    if (rule->cache && (lies_in(path, rule->cache) || same_file(path, rule->cache)))
        return mf_hint(mf_fail(MF_INVALID, "%s: is in the cache", path),
                       "write it to another folder");
    if (rule->source && same_file(path, rule->source))
        return mf_hint(mf_fail(MF_INVALID, "%s: is an input", path), "name another file");
    if (rule->source && lies_in(path, rule->source))
        return mf_hint(mf_fail(MF_INVALID, "%s: is in an input folder", path),
                       "write it to another folder");
    return rule->graph ? mf_graph_check_output(rule->graph, path) : MF_OK;
}

static mf_status is_foreign(const char *path, const mf_output_rule *rule, bool link)
{
    const char *why = mf_written_why_not(rule->written);
    mf_status status =
        link ? mf_fail(MF_INVALID, "%s: is a link, which massflow did not make", path)
             : mf_fail(MF_INVALID,
                       "%s: exists, and massflow did not write it or it has changed since", path);

    return mf_hint(status, "%s replaces it%s; or name another file%s%s%s",
                   rule->option ? rule->option : "--force", link ? " by a file" : "",
                   why ? " (the record of written files cannot be saved: " : "", why ? why : "",
                   why ? ")" : "");
}

/* What stands at the path. */
typedef enum standing { NOTHING, OURS, FOREIGN, LINK } standing;

/* What can't be read is not known to be ours. */
static mf_status look_at(const char *path, const mf_output_rule *rule, const char *known,
                         standing *found)
{
    char digest[MF_HEX_SIZE];
    struct stat about;
    mf_status unread;

    *found = NOTHING;
    if (lstat(path, &about) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? MF_OK
                   : mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    *found = S_ISLNK(about.st_mode) ? LINK : FOREIGN;
    if (*found == LINK && stat(path, &about) != 0)
        return MF_OK;            /* it leads nowhere */
    if (!S_ISREG(about.st_mode)) /* nor is a link to one that, as /dev/stdout is */
        return mf_hint(mf_file_check(path), "name a file; one that is not there is made");
    if (*found == LINK)
        return MF_OK;
    unread = mf_digest_file(path, digest);
    if (!unread &&
        ((known && !strcmp(known, digest)) || mf_written_knows(rule->written, path, digest)))
        *found = OURS;
    mf_error_free(unread);
    return MF_OK;
}

static mf_status look(const char *path, const mf_output_rule *rule, const char *known,
                      standing *found)
{
    MF_TRY(look_at(path, rule, known, found));
    return check_kept(path, rule);
}

mf_status mf_output_check(const char *path, const mf_output_rule *rule, const char *known)
{
    standing found;

    MF_TRY(look(path, rule, known, &found));
    if (rule->force || rule->late || found == NOTHING || found == OURS)
        return MF_OK;
    return is_foreign(path, rule, found == LINK);
}

/* ---- writing --------------------------------------------------------------------------------- */

mf_status mf_output_begin(const char *path, const mf_output_rule *rule, const char *known,
                          mf_output **output)
{
    mf_output *o;
    mf_status status;

    *output = NULL;
    MF_TRY(mf_output_check(path, rule, known));
    o = calloc(1, sizeof *o);
    if (!o)
        return mf_no_memory(sizeof *o, "writing %s", path);
    o->rule = rule;
    o->known = known;
    status = mf_partial_begin(path, &o->partial);
    if (status)
        free(o);
    else
        *output = o;
    return status;
}

const char *mf_output_file(const mf_output *o)
{
    return o->partial.file;
}

/* Looks once more, for it may have come meanwhile: also from another run, that replaces what this
 * one has written as this one replaces what that one has. *taken: it came just now. */
static mf_status settle(mf_output *o, const char *path, const char *digest, bool *taken)
{
    char there[MF_HEX_SIZE];
    standing found;

    *taken = false;
    MF_TRY(look(path, o->rule, o->known, &found));
    if (!o->rule->force && found == FOREIGN && o->rule->late) {
        MF_TRY(mf_digest_file(path, there));
        if (!strcmp(there, digest))
            return MF_OK;
    }
    if (!o->rule->force && (found == FOREIGN || found == LINK))
        return is_foreign(path, o->rule, found == LINK);
    mf_written_add(o->rule->written, path, digest);
    return mf_partial_place(&o->partial, o->rule->force || found == OURS, taken);
}

mf_status mf_output_end(mf_output *o, char digest[MF_HEX_SIZE])
{
    char made[MF_HEX_SIZE];
    mf_status status = mf_digest_file(o->partial.file, made);
    bool taken = !status;

    while (taken && !status)
        status = settle(o, o->partial.path, made, &taken);
    if (!status && digest)
        memcpy(digest, made, sizeof made);
    mf_output_drop(o);
    return status;
}

void mf_output_drop(mf_output *o)
{
    if (!o)
        return;
    mf_partial_drop(&o->partial);
    free(o);
}
