/* own_names.c - a plugin whose functions have names that functions inside of the engine have too.
 * It is built as a careless user would, with all of them exported: each calls its own. */
#include <massflow/stage.h>

const char *put(void), *expand(void), *resolve(void), *is_name(void);

const char *put(void)
{
    return "own";
}

const char *expand(void)
{
    return put();
}

const char *resolve(void)
{
    return expand();
}

const char *is_name(void)
{
    return resolve();
}

static mf_status run(mf_task *task, const void *params, void *state)
{
    (void)task, (void)params, (void)state;
    return MF_OK;
}

static const mf_port out[] = {MF_PORT("out", "table", "Nothing."), MF_END};
static mf_stage stage = {.name = "own.names", .version = 1, .out = out, .run = run};

MF_API const mf_plugin *massflow_plugin(void);
const mf_plugin *massflow_plugin(void)
{
    static const mf_stage *const stages[] = {&stage, NULL};
    static const mf_plugin plugin = {MF_ABI_MAJOR,
                                     MF_ABI_MINOR,
                                     sizeof(mf_stage),
                                     sizeof(mf_param),
                                     sizeof(mf_port),
                                     sizeof(mf_type),
                                     "own",
                                     stages,
                                     NULL};
    stage.summary = is_name();
    return &plugin;
}
