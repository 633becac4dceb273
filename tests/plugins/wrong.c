/* wrong.c - a plugin that must be refused; WRONG says what is wrong with it. */
#include <massflow/stage.h>

#define NO_SYMBOL 1
#define OLD_MAJOR 2
#define NEW_MINOR 3
#define SIZES 4
#define NOTHING 5
#define PRIVATE 6
#define UNDEFINED 7

#if WRONG == NO_SYMBOL
MF_API int another_symbol;
int another_symbol = 1;
#else
const char *mf_outcome_text(int outcome); /* of engine/store/store.h */
const char *mri_text(void);               /* of nothing */
MF_API const mf_plugin *massflow_plugin(void);
const mf_plugin *massflow_plugin(void)
{
    static const mf_stage *const stages[] = {NULL};
    static const mf_plugin plugin = {
        .abi_major = WRONG == OLD_MAJOR ? MF_ABI_MAJOR + 1 : MF_ABI_MAJOR,
        .abi_minor = WRONG == NEW_MINOR ? MF_ABI_MINOR + 1 : MF_ABI_MINOR,
        .stage_size = WRONG == SIZES ? sizeof(mf_stage) - 8 : sizeof(mf_stage),
        .param_size = sizeof(mf_param),
        .port_size = sizeof(mf_port),
        .type_size = sizeof(mf_type),
        .name = "wrong",
        .stages = stages,
    };
    if (WRONG == PRIVATE)
        return mf_outcome_text(0) ? &plugin : NULL;
    if (WRONG == UNDEFINED)
        return mri_text() ? &plugin : NULL;
    return WRONG == NOTHING ? NULL : &plugin;
}
#endif
