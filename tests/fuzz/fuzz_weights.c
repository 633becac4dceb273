/* fuzz_weights.c - files of weights: safetensors and PyTorch checkpoints are tensors or an error,
 * and so is the pickle of a checkpoint alone (what begins with a pickle's mark). */
#include "../../plugins/sam2/config.h"
#include "../../plugins/sam2/names.h"
#include "fuzz.h"
#include "pickle.h"
#include "read.h"

static void read_pickle(const uint8_t *data, size_t size)
{
    pickle *p;
    const pickle_value *root;
    bool bad = failed(pickle_read(data, size, &p, &root));
    PROMISE(bad == !p && bad == !root);
    pickle_get(root, "model");
    pickle_free(p);
}

/* What model.load makes of them: names, metadata, sizes. */
static void read_sam2(mf_tensors *t)
{
    sam2_config said = {0}, c;
    const char *note = mf_tensors_note(t, SAM2_CONFIG_KEY);
    if (note && failed(sam2_config_said(note, &said)))
        said = (sam2_config){0};
    if (sam2_names_foreign(t) && failed(sam2_names_original(t)))
        return;
    if (!failed(sam2_config_from(t, &said, &c)))
        PROMISE(c.image >= 64 && c.heads >= 1 && c.embed % c.heads == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_tensors t = {0};
    if (size > 1 && data[0] == 0x80 && data[1] <= 5)
        read_pickle(data, size);
    enter_scratch();
    write_file("weights", data, size);
    if (failed(mf_tensors_read("weights", &t)))
        PROMISE(t.count == 0);
    for (size_t i = 0; i < t.count; i++)
        PROMISE(*t.item[i].name && t.item[i].array);
    read_sam2(&t);
    mf_tensors_clear(&t);
    return 0;
}
