/* get_many.c - get: results of several nodes, as files of one folder.
 *
 * A file has the name of its node with what a shell or a file system would stumble over taken out:
 * "seg[case=012,seed=1]" is seg-case=012-seed=1.nii.gz. */
#include "get.h"
#include "run/artifact/check.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"

#include <massflow/memory.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct many {
    const args *a;
    workspace *w;
    const char *folder, *suffix; /* suffix: NULL for the first of each type */
    mf_plan *plan;
    mf_target *targets;
    size_t target_count;
    get_item *items;
    size_t count;
    size_t missing; /* nodes without a result; the first: */
    const char *missed;
} many;

static char *file_name(const many *m, const mf_plan_node *n, uint32_t port, const char *suffix)
{
    const mf_port *out = n->node->stage->out;
    char *name = NULL;

    if (asprintf(&name, "%s/%s%s%s%s%s", m->folder, n->node->name,
                 mf_port_count(out) > 1 ? "." : "", mf_port_count(out) > 1 ? out[port].name : "",
                 *suffix == '.' || !*suffix ? "" : ".", suffix) < 0)
        return NULL;
    char *to = name + strlen(m->folder) + 1;
    for (const char *from = to; *from; from++) {
        if (*from == ']')
            continue;
        *to++ = *from == '[' || *from == ','                                  ? '-'
                : (unsigned char)*from <= ' ' || strchr("/\\:*?\"<>|", *from) ? '_'
                                                                              : *from;
    }
    *to = '\0';
    return name;
}

/* That of a file is part of its name. The caller frees. */
static mf_status own_suffix(const many *m, const char *id, char **suffix)
{
    mf_artifact *file;

    MF_TRY(mf_open_artifact(m->w->store, m->w->registry, id, &file));
    *suffix = strdup(mf_artifact_file_suffix(file));
    mf_artifact_unref(file);
    return *suffix ? MF_OK : mf_no_memory(0, "a list of files");
}

/* The suffix that is written for an output where none is named: the first that is of its type and
 * not of all types, such as .nii.gz before .npy and .json. The caller frees. */
static mf_status usual_suffix(const many *m, const mf_plan_node *n, uint32_t port, char **suffix)
{
    mf_port_type type;
    mf_port_type_parse(n->node->stage->out[port].type, &type);
    char *all = mf_registry_suffixes(m->w->registry, type.name), *rest = NULL, *own = NULL;

    for (char *s = all ? strtok_r(all, ", ", &rest) : NULL; s; s = strtok_r(NULL, ", ", &rest))
        if (!own || ((!strcmp(own, ".npy") || !strcmp(own, ".json")) && strcmp(s, ".json") != 0))
            own = s;
    const bool any = own && !strcmp(own, "*");
    *suffix = any ? NULL : strdup(own ? own : ".json");
    free(all);
    if (any)
        return own_suffix(m, n->outputs[port].id, suffix);
    return *suffix ? MF_OK : mf_no_memory(0, "a list of files");
}

static int add(many *m, const mf_plan_node *n, uint32_t port)
{
    char *suffix = m->suffix ? strdup(m->suffix) : NULL;
    mf_status status = m->suffix ? MF_OK : usual_suffix(m, n, port, &suffix);
    if (status)
        return command_fail(status, EXIT_FAILED);
    get_item *grown = mf_list_more(m->items, m->count, sizeof *grown);
    char *path = suffix ? file_name(m, n, port, suffix) : NULL;

    free(suffix);
    if (grown)
        m->items = grown;
    if (!grown || !path) {
        free(path);
        return command_fail(mf_no_memory(0, "a list of files"), EXIT_FAILED);
    }
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->items[i].path, path)) {
            int code =
                m->items[i].node == n && m->items[i].port == port
                    ? EXIT_DONE /* named twice */
                    : command_refuse("%s and %s would both be written to %s; get them into two "
                                     "folders",
                                     m->items[i].node->node->name, n->node->name, path);
            free(path);
            return code;
        }
    m->items[m->count++] = (get_item){n, port, path};
    return EXIT_DONE;
}

static int add_node(many *m, const mf_target *target, size_t i)
{
    const mf_plan_node *n = mf_plan_at(m->plan, i);
    uint32_t port;
    char file[64];

    snprintf(file, sizeof file, "x%s%s", !m->suffix || *m->suffix == '.' ? "" : ".",
             m->suffix ? m->suffix : "");
    if (n->state != MF_PLAN_CACHED) {
        m->missed = m->missing++ ? m->missed : n->node->name;
        return EXIT_DONE;
    }
    int code = get_port(m->w, target, n, m->suffix ? file : NULL, &port);
    if (code)
        return code;
    if (*n->outputs[port].id)
        return add(m, n, port);
    m->missed = m->missing++ ? m->missed : n->node->name; /* optional, and left out */
    return EXIT_DONE;
}

static int add_target(many *m, const mf_target *target)
{
    const mf_graph_stage *stage = mf_graph_stage_at(m->w->graph, target->group);

    for (size_t i = target->first; i < stage->first + stage->count; i++) {
        if (!mf_target_has(m->w->graph, target, i))
            continue;
        if (mf_graph_node(m->w->graph, (uint32_t)i)->stage->item)
            return command_refuse("%s is a stream; its items are never stored",
                                  mf_graph_node(m->w->graph, (uint32_t)i)->name);
        int code = add_node(m, target, i);
        if (code)
            return code;
    }
    return EXIT_DONE;
}

/* The plan of all targets, which are named without their ports. */
static int plan(many *m)
{
    const size_t count = args_count(m->a) - 1;
    char **names = calloc(count + 1, sizeof *names);
    int code = names && (m->targets = calloc(count + 1, sizeof *m->targets))
                   ? EXIT_DONE
                   : command_fail(mf_no_memory(0, "the targets"), EXIT_FAILED);

    for (size_t i = 0; !code && i < count; i++) {
        const char *text = args_at(m->a, i + 1);
        mf_target *t = &m->targets[m->target_count++];
        mf_status status = mf_graph_target(m->w->graph, text, t);
        if (status) {
            code = command_fail(status, EXIT_REQUEST);
            break;
        }
        size_t port =
            t->port < 0
                ? 0
                : 1 + strlen(mf_graph_node(m->w->graph, t->first)->stage->out[t->port].name);
        names[i] = strndup(text, strlen(text) - port);
        if (!names[i])
            code = command_fail(mf_no_memory(0, "the targets"), EXIT_FAILED);
    }
    m->w->looking = true;
    if (!code)
        code = workspace_plan(m->a, m->w, (const char *const *)names, count, &m->plan);
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
    return code;
}

static int tell_missing(const many *m)
{
    char *again = args_again(m->a, m->missed);
    int code;

    if (m->missing == 1)
        code = command_refuse("%s is not in the cache; compute it with: %s", m->missed,
                              again ? again : "massflow run");
    else
        code =
            command_refuse("%zu of %zu results are not in the cache, the first is %s; compute them "
                           "by 'massflow run', or add --skip-missing",
                           m->missing, m->missing + m->count, m->missed);
    free(again);
    return code;
}

/* *named becomes false where its names could not be written, which is said. */
static mf_status write_item(const many *m, const get_item *x, const mf_output_rule *rule,
                            bool *named)
{
    mf_artifact *artifact;

    MF_TRY(mf_open_artifact(m->w->store, m->w->registry, x->node->outputs[x->port].id, &artifact));
    mf_status status = mf_write_output(m->w->registry, artifact, x->path, args_value(m->a, "array"),
                                       rule, NULL, NULL);
    if (!status)
        printf("%s\n", x->path);
    if (!status && get_names(m->a, m->w, artifact, x->path, rule))
        *named = false;
    mf_artifact_unref(artifact);
    return mf_within(status, "%s", x->node->node->name);
}

static void look_for_stale(const many *m, mf_written *written);

/* All that can be written is; the exit code says that some could not. */
static int write_all(many *m)
{
    mf_output_rule rule;
    int code = workspace_rule(m->a, m->w, true, &rule), failed = EXIT_DONE;

    if (code)
        return code;
    if (mkdir(m->folder, 0777) != 0 && errno != EEXIST)
        return command_refuse("cannot make the folder '%s': %s", m->folder, strerror(errno));
    if (args_has(m->a, "nnunet"))
        code = nnunet_folders(m->folder, m->items, m->count);
    else if (m->count)
        mf_partials_sweep(m->items[0].path);
    if (code)
        return code;
    for (size_t i = 0; i < m->count; i++) {
        bool named = true;
        mf_status status = write_item(m, &m->items[i], &rule, &named);
        if (status)
            failed = command_fail(status, EXIT_FAILED);
        else if (!named)
            failed = EXIT_FAILED;
    }
    if (!failed && args_has(m->a, "nnunet"))
        failed = nnunet_describe(m->a, m->w, m->folder, m->items, m->count, &rule);
    if (!args_has(m->a, "nnunet")) /* whose files have other names */
        look_for_stale(m, rule.written);
    return failed;
}

/* ---- what is left of cases that are gone ----------------------------------------------------- */

/* Whether a file of the folder has the name that a node of these stages would have, whatever its
 * suffix. */
static bool is_of_node(const many *m, const char *name)
{
    for (size_t t = 0; t < m->target_count; t++) {
        const mf_graph_stage *stage = mf_graph_stage_at(m->w->graph, m->targets[t].group);
        for (size_t i = stage->first; i < stage->first + stage->count; i++) {
            char *path = file_name(m, mf_plan_at(m->plan, i), 0, "x");
            if (!path)
                return true; /* not known: it stays */
            const char *bare = path + strlen(m->folder) + 1;
            const bool several = mf_port_count(stage->stage->out) > 1;
            /* Without ".PORT.x" or ".x". */
            const size_t length =
                strlen(bare) - 2 - (several ? strlen(stage->stage->out[0].name) + 1 : 0);
            const bool is = !strncmp(name, bare, length) && name[length] == '.';
            free(path);
            if (is)
                return true;
        }
    }
    return false;
}

/* Whether it is named as a node of one of these stages that is per case. */
static bool is_of_stage(const many *m, const char *name)
{
    for (size_t t = 0; t < m->target_count; t++) {
        const char *label = mf_graph_stage_at(m->w->graph, m->targets[t].group)->label;
        if (!strncmp(name, label, strlen(label)) && !strncmp(name + strlen(label), "-case=", 6))
            return true;
    }
    return false;
}

/* Files of the folder that an earlier get has written, and that are unchanged, of nodes that the
 * graph does not have any more. Said on stderr: stdout has the paths of what was written. */
static void look_for_stale(const many *m, mf_written *written)
{
    const bool remove = args_has(m->a, "remove-stale");
    DIR *folder = opendir(m->folder);
    size_t count = 0;

    for (struct dirent *e; folder && (e = readdir(folder));) {
        char *path = NULL, digest[MF_HEX_SIZE];
        if (!is_of_stage(m, e->d_name) || is_of_node(m, e->d_name) ||
            asprintf(&path, "%s/%s", m->folder, e->d_name) < 0)
            continue;
        mf_status status = mf_digest_file(path, digest);
        if (!status && mf_written_knows(written, path, digest)) {
            count++;
            if (!remove)
                fprintf(stderr, "stale    %s\n", path);
            else
                fprintf(stderr, "%s %s\n", unlink(path) == 0 ? "removed" : "kept", path);
        }
        mf_error_free(status);
        free(path);
    }
    if (folder)
        closedir(folder);
    if (count && !remove)
        fprintf(stderr,
                "%zu file%s that massflow wrote there %s of nodes that the graph does not have "
                "now; --remove-stale removes %s\n",
                count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                count == 1 ? "it" : "them");
}

int get_many(const args *a, workspace *w, const char *folder)
{
    char *bare = strdup(folder);
    many m = {.a = a, .w = w, .folder = bare, .suffix = args_value(a, "suffix")};
    int code;

    if (!bare)
        return command_fail(mf_no_memory(0, "a folder"), EXIT_FAILED);
    for (size_t n = strlen(bare); n > 1 && bare[n - 1] == '/'; n--)
        bare[n - 1] = '\0';
    code =
        args_has(a, "nnunet") && args_has(a, "remove-stale")
            ? command_refuse("--remove-stale does not know the files of --nnunet; empty the folder")
            : plan(&m);
    for (size_t i = 0; !code && i < m.target_count; i++)
        code = add_target(&m, &m.targets[i]);
    if (!code && m.missing && !args_has(a, "skip-missing"))
        code = tell_missing(&m);
    if (!code && args_has(a, "nnunet"))
        code = nnunet_lay_out(a, w, bare, m.items, m.count);
    if (!code)
        code = write_all(&m);
    for (size_t i = 0; i < m.count; i++)
        free(m.items[i].path);
    free(m.items);
    free(m.targets);
    mf_plan_free(m.plan);
    free(bare);
    return code;
}
