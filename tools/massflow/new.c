/* new.c - `massflow new`: a plugin to start from, in a folder of its own. The files are those of
 * tools/massflow/new, compiled in. */
#include "command.h"

#include "new_files.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a file is called in the new folder; "%s" is the plugin's name. */
static const struct {
    const char *from, *to, *what;
} files[] = {
    {"plugin.c.in", "%s.c", "a stage"},
    {"plugin.cl.in", "%s.cl", "its kernel"},
    {"plugin.yaml.in", "%s.yaml", "a graph with it"},
    {"test.py.in", "test_%s.py", "its test"},
    {"meson.build.in", "meson.build", "how it is built"},
    {"README.md.in", "README.md", "how to go on"},
    {"gitignore.in", ".gitignore", NULL},
};
#define FILE_COUNT (sizeof files / sizeof *files)

static bool good_name(const char *name)
{
    bool good = islower((unsigned char)*name) && strlen(name) <= 40;

    for (const char *c = name; *c; c++)
        good &= islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_';
    return good;
}

static bool is_taken(const mf_registry *registry, const char *name)
{
    for (size_t i = 0; i < mf_registry_count(registry); i++)
        if (!strcmp(mf_registry_plugin(registry, mf_registry_at(registry, i)), name))
            return true;
    return false;
}

/* The text with the name in place of @NAME@. */
static void put(FILE *out, const char *text, const char *name)
{
    const char *mark;

    while ((mark = strstr(text, "@NAME@"))) {
        fwrite(text, 1, (size_t)(mark - text), out);
        fputs(name, out);
        text = mark + strlen("@NAME@");
    }
    fputs(text, out);
}

static const char *text_of(const char *file)
{
    for (size_t i = 0; embedded_files[i].name; i++)
        if (!strcmp(embedded_files[i].name, file))
            return embedded_files[i].text;
    return "";
}

static mf_status write_file(size_t i, const char *name, bool runs)
{
    char file[128], path[256];
    FILE *out;
    int failed;

    snprintf(file, sizeof file, files[i].to, name);
    snprintf(path, sizeof path, "%s/%s", name, file);
    out = fopen(path, "wxe");
    if (!out)
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    put(out, text_of(files[i].from), name);
    failed = ferror(out);
    if (fclose(out) != 0 || failed)
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    if (runs)
        chmod(path, 0755);
    if (files[i].what)
        printf("  %-20s %s\n", file, files[i].what);
    return MF_OK;
}

/* Where this massflow's .pc file lies: in its build tree or its installation. */
static void print_next(const char *name)
{
    char program[4096], *cut;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    printf("\n  cd %s\n", name);
    program[length > 0 ? length : 0] = '\0';
    if ((cut = strstr(program, "/tools/massflow/massflow")))
        printf("  export PKG_CONFIG_PATH=%.*s/engine\n", (int)(cut - program), program);
    else if ((cut = strstr(program, "/bin/massflow")) && strncmp(program, "/usr/", 5))
        printf("  export PKG_CONFIG_PATH=%.*s/" MF_LIBDIR "/pkgconfig\n", (int)(cut - program),
               program);
    printf("  meson setup build && ninja -C build && meson test -C build\n"
           "  MASSFLOW_PLUGINS=build massflow run %s.yaml\n",
           name);
}

static int make(const args *a)
{
    const char *name = args_at(a, 0);
    mf_registry *registry;
    mf_status status = MF_OK;
    bool taken;
    int code;

    if (!good_name(name))
        return command_refuse("'%s' is not a valid name of a plugin: lower-case letters, digits "
                              "and _, beginning with a letter",
                              name);
    code = open_registry(a, &registry);
    if (code)
        return code;
    taken = is_taken(registry, name);
    mf_registry_free(registry);
    if (taken)
        return command_refuse("there is a plugin '%s' already", name);
    if (mkdir(name, 0777) != 0)
        return command_refuse("%s: %s", name, strerror(errno));
    printf("%s/\n", name);
    for (size_t i = 0; i < FILE_COUNT && !status; i++)
        status = write_file(i, name, !strcmp(files[i].from, "test.py.in"));
    if (status)
        return command_fail(status, EXIT_FAILED);
    print_next(name);
    return EXIT_DONE;
}

static const option options[] = {OPTION_PLUGINS, OPTION_END};

const command command_new = {
    "new",
    "NAME",
    "create a plugin: source, kernel, build file, test, graph",
    "Creates the folder NAME with a plugin that builds, passes its test and runs.\n"
    "docs/writing-a-stage.md describes the next steps.",
    options,
    1,
    1,
    make};
