/* fuzz_weights.c - files of weights: safetensors and PyTorch checkpoints are tensors or an error,
 * and so is the pickle of a checkpoint alone (what begins with a pickle's mark). */
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
    mf_tensors_clear(&t);
    return 0;
}
