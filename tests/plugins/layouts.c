/* layouts.c - the layouts of what plugins allocate themselves, as the headers have them that this
 * file is built with: LAYOUTS names the list. */
#include <massflow/stage.h>

#include "layouts.h"

#define WHOLE(type)                                                                                \
    {                                                                                              \
#type, sizeof(type)                                                                        \
    }
#define FIELD(type, field)                                                                         \
    {                                                                                              \
#type "." #field, offsetof(type, field)                                                    \
    }

const layout_entry LAYOUTS[] = {WHOLE(mf_int3),
                                WHOLE(mf_real3),
                                WHOLE(mf_ints),
                                WHOLE(mf_reals),
                                FIELD(mf_plugin, abi_minor),
                                FIELD(mf_plugin, type_size),
                                FIELD(mf_plugin, name),
                                FIELD(mf_plugin, stages),
                                FIELD(mf_plugin, types),
                                FIELD(mf_stage, code),
                                FIELD(mf_stage, tolerance),
                                FIELD(mf_stage, check),
                                FIELD(mf_stage, item),
                                FIELD(mf_type, suffixes),
                                FIELD(mf_type, draw),
                                WHOLE(mf_param),
                                FIELD(mf_param, kind),
                                FIELD(mf_param, marks),
                                WHOLE(mf_port),
                                FIELD(mf_port, marks),
                                FIELD(mf_needs, device_bytes),
                                FIELD(mf_needs, device),
                                FIELD(mf_needs, cost),
                                FIELD(mf_view, tile),
                                FIELD(mf_volume, voxels),
                                WHOLE(mf_arg),
                                FIELD(mf_arg, f),
                                WHOLE(mf_launch_arg),
                                FIELD(mf_launch_arg, written),
                                WHOLE(mf_range),
                                WHOLE(mf_grid),
                                FIELD(mf_grid, direction),
                                WHOLE(mf_mask),
                                FIELD(mf_mask, seed_slice),
                                WHOLE(mf_array),
                                FIELD(mf_array, data),
                                WHOLE(mf_array_info),
                                FIELD(mf_array_info, rows),
                                WHOLE(mf_random),
                                WHOLE(mf_device_info),
                                FIELD(mf_device_info, max_work_group),
                                WHOLE(mf_binary_store),
                                {"MF_PARAM_REALS", MF_PARAM_REALS},
                                {"MF_ARG_LOCAL", MF_ARG_LOCAL},
                                {"MF_INTERNAL", MF_INTERNAL},
                                {"MF_F32", MF_F32},
                                {"MF_MAX_RANK", MF_MAX_RANK},
                                {NULL, 0}};
