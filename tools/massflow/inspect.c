/* inspect.c - the commands that only look: stages, describe, schema, version. */
#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put(char *text)
{
    if (!text)
        return command_fail(mf_no_memory(0, "the answer"), EXIT_FAILED);
    fputs(text, stdout);
    free(text);
    return EXIT_DONE;
}

static const option plugin_options[] = {OPTION_PLUGINS, OPTION_END};

static int stages(const args *a)
{
    mf_registry *registry;
    int code = open_registry(a, &registry);

    if (code)
        return code;
    code = put(mf_registry_list(registry));
    mf_registry_free(registry);
    return code;
}

const command command_stages = {
    "stages", "",    "list the installed stages and sources of cases", NULL, plugin_options, 0,
    0,        stages};

static int describe(const args *a)
{
    mf_registry *registry;
    const char *name = args_at(a, 0), *near, *near_source;
    const mf_stage *stage;
    const mf_case_source *source;
    int code = open_registry(a, &registry);

    if (code)
        return code;
    stage = mf_registry_stage(registry, name);
    source = mf_registry_source(registry, name);
    near = mf_registry_near(registry, name);
    near_source = mf_registry_source_near(registry, name);
    if (source)
        code = put(mf_case_source_describe(registry, source));
    else if (stage)
        code = put(mf_stage_describe(registry, stage));
    else if (near)
        code = command_refuse("no stage '%s'; did you mean '%s'?", name, near);
    else if (near_source)
        code = command_refuse("no source of cases '%s'; did you mean '%s'?", name, near_source);
    else
        code =
            command_refuse("no stage or source of cases '%s'; 'massflow stages' lists them", name);
    mf_registry_free(registry);
    return code;
}

bool describes_source(const args *a)
{
    mf_registry *registry;
    bool known;

    if (open_registry(a, &registry))
        return false;
    known = mf_registry_source(registry, args_at(a, 0));
    mf_registry_free(registry);
    return known;
}

const command command_describe = {
    "describe",
    "STAGE",
    "show the ports and parameters of a stage, with units and ranges",
    "STAGE may also be a source of cases, such as glob: its options and columns are shown.",
    plugin_options,
    1,
    1,
    describe};

static int schema(const args *a)
{
    mf_registry *registry;
    int code = open_registry(a, &registry);

    if (code)
        return code;
    code = put(mf_graph_schema(registry));
    mf_registry_free(registry);
    return code;
}

const command command_schema = {
    "schema",
    "",
    "print a JSON Schema of graph files, for editors",
    "The schema covers the installed stages and those of --plugins. Editors with support for YAML\n"
    "schemas complete and check a graph file that starts with the line:\n"
    "  # yaml-language-server: $schema=massflow.json",
    plugin_options,
    0,
    0,
    schema};

static int version(const args *a)
{
    (void)a;
    printf("massflow %s, stage interface %d.%d\n", MF_VERSION, MF_ABI_MAJOR, MF_ABI_MINOR);
    return EXIT_DONE;
}

const command command_version = {
    "version", "",     "print the version of massflow and of the stage interface", NULL, NULL, 0,
    0,         version};
