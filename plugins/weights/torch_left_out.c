/* torch_left_out.c - stands for torch.c in a build of the numerics alone, on a machine without
 * libzip: see torch.h. */
#include "torch.h"

mf_status mf_torch_read(FILE *file, size_t size, mf_torch_part part, mf_tensors *t)
{
    (void)file, (void)size, (void)part, (void)t;
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "a PyTorch checkpoint, and this build has no libzip to read it with"),
                   "build again where libzip is installed, or save it as safetensors");
}
