/* op_list.c - see op_list.h. */
#include "check/op_list.h"

#include <massflow/memory.h>
#include <stdlib.h>
#include <string.h>

const mf_check_family mf_check_families[] = {
    {"elementwise", mf_check_elementwise},
    {"reduce", mf_check_reduce},
    {"shape", mf_check_shape},
    {"norm", mf_check_norm},
    {"space", mf_check_space},
    {"strided", mf_check_strided},
    {"loss", mf_check_loss},
    {"conv", mf_check_conv},
    {"matmul", mf_check_matmul},
    {"attention", mf_check_attention},
    {"conv2d", mf_check_conv2d},
    {"image", mf_check_image},
    {"optimizer", mf_check_optimizer},
    {"model", mf_check_model},
};
const size_t mf_check_family_count = sizeof mf_check_families / sizeof mf_check_families[0];

mf_check_case *mf_check_add(mf_check_list *list, mf_check_case c)
{
    static _Thread_local mf_check_case spare;
    mf_check_case *more = mf_list_more(list->cases, list->count, sizeof *more);
    if (!more) {
        list->short_of_memory = true;
        spare = c;
        return &spare;
    }
    list->cases = more;
    list->cases[list->count] = c;
    return &list->cases[list->count++];
}

mf_status mf_check_list_make(const char *family, mf_check_list *list)
{
    bool found = false;
    *list = (mf_check_list){NULL};
    for (size_t i = 0; i < mf_check_family_count; i++)
        if (!family || !strcmp(family, mf_check_families[i].name)) {
            mf_check_families[i].add(list);
            found = true;
        }
    if (list->short_of_memory)
        return mf_no_memory(0, "the list of checks");
    return found ? MF_OK : mf_fail(MF_NOT_FOUND, "no family of ops is called %s", family);
}

void mf_check_list_clear(mf_check_list *list)
{
    free(list->cases);
    *list = (mf_check_list){NULL};
}
