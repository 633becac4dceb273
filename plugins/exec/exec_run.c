/* exec_run.c - stage exec.run: any command as a stage, its inputs and outputs as files. */
#include "back.h"
#include "child.h"
#include "command.h"
#include "exec_run.code.h"
#include "gather.h"
#include "limit.h"
#include "script.h"
#include <massflow/stage.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct exec_params {
    const char *command, *files, *version, *names;
    bool keep_names, shell, device, keep;
    int64_t cpu;
    double disk_limit;
} exec_params;

static const mf_param params[] = {
    MF_FIELD_(MF_PARAM_TEXT, const char *, exec_params, command, NULL, 0, 0, "", NULL, MF_COMMAND,
              "Program, found in PATH, and its arguments. {volume}, {out.labels} and so on are "
              "replaced by file names."),
    MF_PATH(exec_params, files, "",
            "A script, or a folder with everything that the command uses: {files} in the command. "
            "If its content changes, the command runs again."),
    MF_TEXT(exec_params, version, "",
            "Any text. Change it when a program outside of `files` changes what it computes."),
    MF_NAMES(
        exec_params, names,
        "Names of the label values that come back, as in {1: liver, 2: left kidney}. They come "
        "before all others."),
    MF_BOOL(exec_params, keep_names, "true",
            "Labels that come back have the names of the input `labels`, unless their file has "
            "names of its own. false: the command numbers its labels anew."),
    MF_BOOL(exec_params, shell, "false", "Run the command by sh."),
    MF_INT_MARKED(exec_params, cpu, "1", 1, 1024, "slots", MF_NO_CACHE,
                  "CPU cores that the command uses: {threads} in the command."),
    MF_FIELD_(MF_PARAM_BOOL, bool, exec_params, device, "false", 0, 1, "", NULL, MF_NO_CACHE,
              "The command computes on a GPU: no other stage uses the same device meanwhile."),
    MF_REAL_MARKED(exec_params, disk_limit, "16", 0.001, 1e9, "GB", MF_NO_CACHE,
                   "The command is ended if it writes more than this to its folder."),
    MF_FIELD_(MF_PARAM_BOOL, bool, exec_params, keep, "false", 0, 1, "", NULL, MF_NO_CACHE,
              "Keep the folder with its files if the command fails."),
    MF_END};

static const mf_port inputs[] = {
    MF_PORT("volume", "volume?",
            "Scan: .nii.gz on its own grid, or {volume.npy} as other stages see it."),
    MF_PORT("labels", "labels?", "Label map, in the same formats."),
    MF_PORT("masks", "masks?", "Masks as a label map: .nii.gz."),
    MF_PORT("features", "features?", "Array of numbers: .npy."),
    MF_PORT("table", "table?", "Table: .csv."),
    MF_PORT("model", "model?", "Weights: .safetensors."),
    MF_PORT("image", "image?", "Image: .png."),
    MF_PORT("text", "text?", "Text: .txt."),
    MF_PORT("file", "file?", "File with any content, with the suffix of its name."),
    MF_PORT_MARKED("volumes", "volume[]?", "Folder of scans, one file per case.", MF_KEYED),
    MF_PORT_MARKED("label_maps", "labels[]?", "Folder of label maps.", MF_KEYED),
    MF_PORT_MARKED("feature_maps", "features[]?", "Folder of .npy files.", MF_KEYED),
    MF_PORT_MARKED("tables", "table[]?", "Folder of .csv files.", MF_KEYED),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume?", "Scan: .nii.gz on the grid of the input, or .npy."),
    MF_PORT("labels", "labels?", "Label map, in the same formats."),
    MF_PORT("features", "features?", "Array of numbers: .npy."),
    MF_PORT("table", "table?", "Table: .csv with a header line."),
    MF_PORT("image", "image?", "Image: .png."),
    MF_PORT("text", "text?", "Text: .txt or .json."),
    MF_PORT("file", "file?", "File with any content: {out.file.pdf}."),
    MF_END};

/* One run of a command. */
typedef struct call {
    mf_task *task;
    const exec_params *params;
    const char *folder; /* the task removes it */
    output_suffix wanted[8];
    int64_t given; /* bytes of its inputs on the disk */
} call;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a command");
}

/* ---- the folder ------------------------------------------------------------------------------ */

static mf_status make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return MF_OK;
    return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
}

static mf_status open_folder(call *c)
{
    char *path = NULL;
    mf_status status = mf_task_folder(c->task, c->params->keep, &c->folder);

    for (int i = 0; i < 2 && !status; i++) {
        if (asprintf(&path, "%s/%s", c->folder, i ? "out" : "in") < 0)
            return no_memory();
        status = make_folder(path);
        free(path);
    }
    return status;
}

/* ---- inputs as files ------------------------------------------------------------------------- */

static size_t count_files(const char *folder)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    size_t count = 0;

    while (stream && (entry = readdir(stream)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (stream)
        closedir(stream);
    return count;
}

static mf_status write_once(call *c, const mf_artifact *a, const char *path)
{
    if (access(path, F_OK) == 0)
        return MF_OK; /* named twice */
    return mf_within(mf_task_write(c->task, a, path), "%s", path);
}

/* One file for each element, each with a name of its own: counted, so that none is lost. */
static mf_status write_elements(call *c, const exec_port *port, char *const *names,
                                const char *folder, const char *suffix)
{
    size_t count = mf_in_count(c->task, port->name);

    for (size_t i = 0; i < count; i++) {
        const mf_artifact *a;
        char *path;
        mf_status status;
        MF_TRY(mf_cancel_point(c->task));
        MF_TRY(mf_in_item(c->task, port->name, i, &a));
        if (asprintf(&path, "%s/%s%s", folder, names[i], suffix) < 0)
            return no_memory();
        if (access(path, F_OK) == 0)
            status =
                mf_fail(MF_INTERNAL, "two elements of '%s' have the file %s", port->name, path);
        else
            status = mf_within(mf_task_write(c->task, a, path), "%s", path);
        free(path);
        MF_TRY(status);
    }
    size_t written = count_files(folder);
    if (written != count)
        return mf_fail(MF_INTERNAL, "'%s' has %zu elements, and %zu files were written", port->name,
                       count, written);
    return MF_OK;
}

/* The folder of a list, or its index; written once, however often the command names it. */
static mf_status write_list(call *c, const exec_port *port, const char *path, const char *suffix)
{
    bool index = !strcmp(suffix, INDEX_SUFFIX);
    char **names;
    mf_status status;

    if (access(path, F_OK) == 0)
        return MF_OK;
    MF_TRY(gather_names(c->task, port->name, &names));
    status = index ? gather_index(c->task, port->name, names, path) : make_folder(path);
    if (!status && !index)
        status = write_elements(c, port, names, path, suffix);
    gather_free(names);
    return status;
}

/* Each form of a list has a folder of its own: in/volumes, in/volumes_npy; in/volumes.index.csv. */
static char *list_path(const call *c, const exec_port *port, const char *suffix)
{
    bool usual = !strncmp(port->suffixes, suffix, strlen(suffix)) &&
                 strchr(" ", port->suffixes[strlen(suffix)]);
    char form[16], *path;

    snprintf(form, sizeof form, "%s", usual ? "" : suffix);
    for (char *dot = form; *dot; dot++)
        *dot = *dot == '.' ? '_' : *dot;
    if (!strcmp(suffix, INDEX_SUFFIX))
        snprintf(form, sizeof form, "%s.csv", INDEX_SUFFIX);
    return asprintf(&path, "%s/in/%s%s", c->folder, port->name, form) < 0 ? NULL : path;
}

static mf_status write_input(call *c, const exec_port *port, const char *suffix, char **path)
{
    const mf_artifact *a = NULL;
    mf_status status;

    *path = NULL;
    if (!mf_in_count(c->task, port->name))
        return mf_fail(MF_INVALID, "the command takes {%s}, but nothing is connected to it",
                       port->name);
    if (!port->list)
        MF_TRY(mf_in(c->task, port->name, &a));
    if (port->list)
        *path = list_path(c, port, suffix);
    else if (asprintf(path, "%s/in/%s%s", c->folder, port->name,
                      *suffix ? suffix : mf_artifact_file_suffix(a)) < 0)
        *path = NULL;
    if (!*path)
        return no_memory();
    status = port->list ? write_list(c, port, *path, suffix) : write_once(c, a, *path);
    if (status) {
        free(*path);
        *path = NULL;
    }
    return status;
}

/* {in}: all that is connected, in the usual forms. */
static mf_status write_all(call *c, char **path)
{
    for (const exec_port *p = exec_inputs; p->name; p++) {
        char suffix[16], *one = NULL;
        mf_status status;
        if (!mf_in_count(c->task, p->name))
            continue;
        snprintf(suffix, sizeof suffix, "%.*s",
                 strcmp(p->suffixes, ANY_SUFFIX) ? (int)strcspn(p->suffixes, " ") : 0, p->suffixes);
        status = write_input(c, p, suffix, &one);
        free(one);
        MF_TRY(status);
    }
    return asprintf(path, "%s/in", c->folder) < 0 ? no_memory() : MF_OK;
}

static mf_status fill(void *self, const place *p, char **text)
{
    call *c = self;
    int made = 0;

    switch (p->kind) {
    case PLACE_IN:
        return write_all(c, text);
    case PLACE_INPUT:
        return write_input(c, p->port, p->suffix, text);
    case PLACE_OUT:
        made = asprintf(text, "%s/out", c->folder);
        break;
    case PLACE_OUTPUT:
        snprintf(c->wanted[p->port - exec_outputs], sizeof c->wanted[0], "%s", p->suffix);
        made = asprintf(text, "%s/out/%s%s", c->folder, p->port->name, p->suffix);
        break;
    case PLACE_FILES:
        made = asprintf(text, "%s", c->params->files);
        break;
    case PLACE_THREADS:
        made = asprintf(text, "%d", mf_task_threads(c->task));
        break;
    }
    return made < 0 ? no_memory() : MF_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* The scan or label map that results belong to. */
static mf_status find_like(call *c, const mf_artifact **like)
{
    MF_TRY(mf_in(c->task, "volume", like));
    if (!*like)
        MF_TRY(mf_in(c->task, "labels", like));
    return MF_OK;
}

/* Its own names, or those of the labels that the command was given; those of the graph come first.
 */
static mf_status name_labels(call *c, mf_artifact *labels)
{
    const mf_artifact *given;
    mf_names names = {0};
    mf_label_sets sets = {0};

    MF_TRY(mf_in(c->task, "labels", &given));
    MF_TRY(mf_artifact_names(labels, &names));
    mf_status status = MF_OK;
    if (!names.count && given && c->params->keep_names) {
        status = mf_artifact_names(given, &names);
        if (!status)
            status = mf_artifact_label_sets(given, &sets);
    }
    if (!status)
        status = mf_names_parse(c->params->names, &names);
    if (!status)
        status = mf_label_sets_parse(c->params->names, &sets);
    if (!status)
        status = mf_artifact_set_named(labels, &names, &sets);
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    return status;
}

static mf_status take_output(call *c, const exec_port *port, const char *path)
{
    const mf_artifact *like;
    mf_artifact *a;

    MF_TRY(find_like(c, &like));
    MF_TRY(back_read(c->task, port, path, like, &a));
    mf_status status = strcmp(port->name, "labels") != 0 ? MF_OK : name_labels(c, a);
    if (!status)
        return mf_out(c->task, port->name, a);
    mf_artifact_unref(a);
    return status;
}

/* What the command left in its folder for outputs, for a message. */
static mf_status nothing_written(const call *c, const char *what)
{
    char *path, *found = NULL;
    size_t size;
    struct dirent *entry;
    DIR *folder;
    FILE *out = open_memstream(&found, &size);
    mf_status status = mf_fail(MF_INVALID, "the command succeeded, but did not write %s", what);

    if (asprintf(&path, "%s/out", c->folder) < 0)
        path = NULL;
    folder = path ? opendir(path) : NULL;
    free(path);
    while (out && folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            fprintf(out, " %s", entry->d_name);
    if (folder)
        closedir(folder);
    if (out)
        fclose(out);
    status = mf_hint(status, "in {out} there is:%s", found && *found ? found : " nothing");
    free(found);
    return status;
}

/* Of a port whose files may have any suffix: that of the one file there is, or "". */
static mf_status find_suffix(const call *c, const exec_port *port, output_suffix suffix)
{
    const size_t stem = strlen(port->name);
    char *path;

    *suffix = '\0';
    if (asprintf(&path, "%s/out", c->folder) < 0)
        return no_memory();
    DIR *folder = opendir(path);
    mf_status status = MF_OK;
    for (struct dirent *e; folder && !status && (e = readdir(folder));) {
        const char *own = e->d_name + stem;
        if (strncmp(e->d_name, port->name, stem) != 0 || *own != '.')
            continue;
        if (*suffix)
            status = mf_fail(MF_INVALID, "{out} has both %s%s and %s; an output is one file",
                             port->name, suffix, e->d_name);
        else if (strlen(own) >= sizeof(output_suffix) || strchr(own, ' '))
            status = mf_fail(MF_INVALID, "{out} has %s: a suffix has at most %zu characters",
                             e->d_name, sizeof(output_suffix) - 2);
        else
            snprintf(suffix, sizeof(output_suffix), "%s", own);
    }
    if (folder)
        closedir(folder);
    free(path);
    return status;
}

/* One output: the file that the command named, or any that fits where it was given the folder. */
static mf_status look_for(call *c, size_t i, size_t *taken)
{
    const exec_port *port = &exec_outputs[i];
    const char *suffixes = c->wanted[i][0] ? c->wanted[i] : port->suffixes;
    char own[sizeof c->wanted[0]];

    if (!strcmp(suffixes, ANY_SUFFIX)) {
        MF_TRY(find_suffix(c, port, own));
        suffixes = own;
    }
    for (const char *s = suffixes; *s;) {
        int n = (int)strcspn(s, " ");
        struct stat about;
        char *path;
        if (asprintf(&path, "%s/out/%s%.*s", c->folder, port->name, n, s) < 0)
            return no_memory();
        bool there = lstat(path, &about) == 0; /* a link that leads nowhere as well */
        mf_status status = there ? take_output(c, port, path) : MF_OK;
        free(path);
        *taken += there;
        if (there)
            return status;
        s += n + (s[n] == ' ');
    }
    if (!c->wanted[i][0])
        return MF_OK;
    char what[64];
    snprintf(what, sizeof what, "{out.%s}: out/%s%s", port->name, port->name, c->wanted[i]);
    return nothing_written(c, what);
}

/* The command may have put anything in the place of its folder for outputs. */
static mf_status check_folder(const call *c)
{
    struct stat about;
    char *path;
    mf_status status = MF_OK;

    if (asprintf(&path, "%s/out", c->folder) < 0)
        return no_memory();
    if (lstat(path, &about) != 0)
        status = mf_fail(MF_INVALID, "the command has removed its folder for outputs, %s", path);
    else if (!S_ISDIR(about.st_mode))
        status = mf_fail(MF_INVALID, "the command has replaced its folder for outputs, %s, by a %s",
                         path, S_ISLNK(about.st_mode) ? "link" : "file");
    free(path);
    return status;
}

static mf_status take_outputs(call *c)
{
    size_t taken = 0;

    MF_TRY(check_folder(c));

    for (size_t i = 0; exec_outputs[i].name; i++)
        MF_TRY(look_for(c, i, &taken));
    return taken ? MF_OK : nothing_written(c, "a file that is an output");
}

/* ---- the stage ------------------------------------------------------------------------------- */

/* A file that the command names may change without its running again. */
static void warn_of_files(call *c, char **words)
{
    struct stat about;

    for (size_t i = 1; words[i]; i++) {
        if (words[i][0] == '/' && strncmp(words[i], "/usr/", 5) && stat(words[i], &about) == 0 &&
            S_ISREG(about.st_mode))
            mf_log(
                c->task,
                "%s is not part of the key: given as 'files' it is, and is {files} in the command",
                words[i]);
    }
}

static bool is_shell(const char *word)
{
    static const char *const shells[] = {"sh", "bash", "dash", "ksh", "zsh"};
    const char *slash = strrchr(word, '/'), *name = slash ? slash + 1 : word;

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(name, shells[i]))
            return true;
    return false;
}

/* `sh -c SCRIPT`: what comes from a case would be a part of the script, and run. */
static mf_status check_inner_script(char **words)
{
    const char *shell = NULL;

    for (size_t i = 0; words[i] && words[i + 1]; i++) {
        const char *word = words[i];
        if (is_shell(word))
            shell = word;
        if (shell && word[0] == '-' && word[1] != '-' && strchr(word, 'c') &&
            command_has_literal(words[i + 1]))
            return mf_hint(mf_fail(MF_INVALID,
                                   "'command': a value of a case or an axis stands in the script "
                                   "for %s, which would run it: %s",
                                   shell, words[i + 1]),
                           "hand it over as an argument, as in: sh -c 'echo \"$1\"' x ${case.id}");
    }
    return MF_OK;
}

/* The words with their places filled in; as many as there were. Free each and the list. */
static mf_status make_words(call *c, char ***made)
{
    const char *text = c->params->command;
    char *shell[] = {"sh", "-c", (char *)text, NULL}, **words = NULL, **from = shell;
    size_t count = 0;
    mf_status status = MF_OK;

    if (!c->params->shell) {
        MF_TRY(command_split(text, &words));
        from = words;
        status = check_inner_script(words);
        if (!status)
            warn_of_files(c, words);
    }
    while (from[count])
        count++;
    *made = calloc(count + 1, sizeof **made);
    if (!*made && !status)
        status = no_memory();
    for (size_t i = 0; i < count && !status; i++)
        status = command_expand(from[i], c->params->shell, fill, c, &(*made)[i]);
    free(words);
    return status;
}

static mf_status look_at_folder(void *self)
{
    const call *c = self;
    char *out;

    if (asprintf(&out, "%s/out", c->folder) < 0)
        return no_memory();
    mf_status status = limit_check_outputs(out, c->wanted, c->params->disk_limit);
    free(out);
    return status ? status : limit_check_folder(c->folder, c->given, c->params->disk_limit);
}

static mf_status run_in_folder(call *c)
{
    char **words = NULL;
    mf_status status = make_words(c, &words);

    c->given = limit_used(c->folder);
    if (!status)
        status = script_hint(child_run(c->task, words, c->folder, look_at_folder, c),
                             c->params->command, c->params->files, c->folder);
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
    MF_TRY(status);
    return take_outputs(c);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    call c = {.task = t, .params = p};

    (void)session;
    MF_TRY(open_folder(&c));
    return run_in_folder(&c);
}

/* Before anything runs: whether every place is known, and whether something comes back. */
typedef struct outlook {
    const exec_params *params;
    bool output;
} outlook;

static mf_status look(void *self, const place *p, char **text)
{
    outlook *o = self;

    (void)text;
    if (p->kind == PLACE_FILES && !o->params->files)
        return mf_fail(MF_INVALID, "'command' takes {files}, but 'files' is not given");
    o->output |= p->kind == PLACE_OUT || p->kind == PLACE_OUTPUT;
    return MF_OK;
}

static mf_status check_names(const char *text)
{
    mf_names names = {0};
    mf_label_sets sets = {0};
    mf_status status = mf_within(mf_names_parse(text, &names), "names");

    if (!status)
        status = mf_within(mf_label_sets_parse(text, &sets), "names");
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    return status;
}

static mf_status check(const void *p)
{
    outlook o = {.params = p};
    char *expanded, **words;

    MF_TRY(check_names(o.params->names));
    MF_TRY(command_expand(o.params->command, o.params->shell, look, &o, &expanded));
    free(expanded);
    if (!o.output)
        return mf_hint(mf_fail(MF_INVALID, "'command' names no output"),
                       "such as {out.labels}, {out.table}, or {out} for their folder");
    MF_TRY(command_split(o.params->command, &words));
    mf_status status = words[0] ? MF_OK : mf_fail(MF_INVALID, "'command' is empty");
    if (!status && !o.params->shell)
        status = check_inner_script(words);
    free(words);
    return status;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const exec_params *o = p;

    (void)t;
    n->cpu = (int)o->cpu;
    n->device = o->device;
    return MF_OK;
}

MF_STAGE(exec_run, "exec.run", 4,
         "Runs any command as a stage: a script, a tool, a model in another framework.",
         .help =
             "Inputs are written as files to a temporary folder, the command runs there, and its "
             "outputs\n"
             "are read back. Placeholders in the command:\n"
             "  {volume} {labels} {table} ...   file of the input with this name\n"
             "  {volume.npy} {table.json}       the same in another format\n"
             "  {volumes} {tables} ...          folder with one file per case\n"
             "  {volumes.index} ...             table of these files, in order: name, case, axes\n"
             "  {out.labels} {out.table.csv}    file that the command must write\n"
             "  {file} {out.file.pdf}           a file with any content, such as a report\n"
             "  {in} {out}                      the two folders\n"
             "  {files} {threads}               parameter `files`; number of cores (`cpu`)\n"
             "Each line that the command prints is a line of the log. The command runs without a\n"
             "shell unless `shell` is true. `timeout` beside `use` limits its run time.",
         .params = params, .params_size = sizeof(exec_params), .in = inputs, .out = outputs,
         .check = check, .needs = needs, .run = run);
