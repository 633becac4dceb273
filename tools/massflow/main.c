/* main.c - the command `massflow`: the table of commands, help, exit codes.
 *
 * A new command is a file that defines `const command command_NAME` and two lines here. */
#include "args.h"
#include "clean.h"
#include "crash.h"
#include "run/process/signals.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const command command_run, command_plan, command_why, command_get, command_show_artifact,
    command_runs, command_log, command_report, command_cache, command_graph, command_stages,
    command_describe, command_schema, command_devices, command_version, command_new, command_worker,
    command_first_use, command_models, command_workers, command_pools, command_completion,
    command_complete, command_manual, command_desk;

static int help(const args *a);

static const command command_help = {"help",
                                     "[COMMAND | STAGE]",
                                     "show the help of a command, or describe a stage",
                                     NULL,
                                     NULL,
                                     0,
                                     1,
                                     help};

static const command *const commands[] = {
    &command_run,           &command_plan,      &command_why,      &command_get,
    &command_show_artifact, &command_runs,      &command_log,      &command_report,
    &command_desk,          &command_cache,     &command_graph,    &command_stages,
    &command_describe,      &command_schema,    &command_models,   &command_devices,
    &command_version,       &command_help,      &command_new,      &command_completion,
    &command_worker,        &command_first_use, &command_complete, &command_manual,
    &command_pools,         &command_workers,
};
static const size_t command_count = sizeof commands / sizeof *commands;

const command *command_at(size_t i)
{
    return i < command_count ? commands[i] : NULL;
}

const command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static int refuse_command(const char *name)
{
    const char *names[sizeof commands / sizeof *commands];
    const char *near;

    for (size_t i = 0; i < command_count; i++)
        names[i] = commands[i]->name;
    near = mf_nearest(name, names, command_count);
    if (near)
        return command_refuse("unknown command '%s'; did you mean '%s'?", name, near);
    return command_refuse("unknown command '%s'; 'massflow help' lists them", name);
}

static void overview(void)
{
    printf(
        "massflow - self-supervised learning on 3D medical images, as a cached dataflow graph\n\n");
    for (size_t i = 0; i < command_count; i++) {
        char left[64];

        if (!commands[i]->summary)
            continue; /* not for people */

        snprintf(left, sizeof left, "%s %s", commands[i]->name, commands[i]->operands);
        if (strlen(left) > 28)
            printf("  massflow %s\n%40s%s\n", left, "", commands[i]->summary);
        else
            printf("  massflow %-28s %s\n", left, commands[i]->summary);
    }
    printf("\n'massflow help COMMAND' shows the options of a command, 'massflow help STAGE' the "
           "parameters of\n"
           "a stage or the options of a source of cases.\n");
}

/* A lock of another process on the cache. */
static void say_waiting(void *self, const char *text)
{
    (void)self;
    fprintf(stderr, "massflow: %s\n", text);
}

static int help(const args *a)
{
    const command *c;

    if (!args_count(a)) {
        overview();
        return EXIT_DONE;
    }
    if (strchr(args_at(a, 0), '.'))
        return command_describe.run(a);
    c = command_find(args_at(a, 0));
    if (!c && describes_source(a))
        return command_describe.run(a);
    if (!c)
        return refuse_command(args_at(a, 0));
    command_show(c);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    const command *c;
    args a;
    mf_status status;
    int code;

    mf_store_on_wait(say_waiting, NULL);
    mf_signals_own();
    clean_streams();
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        overview();
        return argc < 2 ? EXIT_REQUEST : EXIT_DONE;
    }
    c = command_find(strcmp(argv[1], "--version") ? argv[1] : "version");
    if (!c)
        return refuse_command(argv[1]);
    status = args_parse(c, argc - 2, argv + 2, &a);
    if (status) {
        args_clear(&a);
        return command_fail(status, EXIT_REQUEST);
    }
    if (args_has(&a, "help")) {
        command_show(c);
        code = EXIT_DONE;
    } else {
        if (c->summary &&
            c != &command_worker) /* an isolated one's end is told by who started it */
            crash_watch();
        code = c->run(&a);
    }
    args_clear(&a);
    if (fflush(stdout) && code == EXIT_DONE)
        code = EXIT_FAILED;
    return code;
}
