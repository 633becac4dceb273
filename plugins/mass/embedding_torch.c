/* embedding_torch.c - see embedding_torch.h. (training/trainer_finetuning.py, what it saves beside
 * the best checkpoint.) */
#include "embedding_torch.h"
#include "../weights/pickle_write.h"
#include "../weights/torch_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static mf_status put_tokens(const mf_artifact *a, FILE *out)
{
    for (int level = 0; level < 3; level++)
        for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
            mf_array_info info;
            char name[16];
            snprintf(name, sizeof name, "tokens%d", level);
            mf_artifact_array_info(a, i, &info);
            if (!strcmp(info.name, name))
                MF_TRY(mf_torch_put_array(out, a, i));
        }
    return MF_OK;
}

static mf_status describe(const mf_artifact *a, FILE *out)
{
    const void *labels;
    int64_t count, ema;
    MF_TRY(mf_artifact_table(a, "labels", MF_I32, &labels, &count));
    pickle_put_dict(out);
    pickle_put_text(out, "priors");
    pickle_put_list(out);
    MF_TRY(put_tokens(a, out));
    pickle_put_list_end(out);
    pickle_put_text(out, "num_classes");
    pickle_put_int(out, count);
    pickle_put_text(out, "class_names");
    pickle_put_list(out);
    for (int64_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "%" PRId32, ((const int32_t *)labels)[i]);
        pickle_put_text(out, name);
    }
    pickle_put_list_end(out);
    pickle_put_text(out, "is_ema");
    pickle_put_bool(out, mf_artifact_int(a, "ema", &ema) && ema == 1);
    pickle_put_dict_end(out);
    return MF_OK;
}

mf_status mf_embedding_write_torch(const mf_artifact *a, const char *path)
{
    return mf_torch_write(a, path, describe);
}
