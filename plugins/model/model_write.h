/* model_write.h - models as checkpoints that PyTorch and the official code read. */
#ifndef MF_MODEL_WRITE_H
#define MF_MODEL_WRITE_H

#include <massflow/artifact.h>

/* An artifact of type model as torch.load(weights_only=True) reads it. An Iris is written as the
 * official MASS code keeps it: "model", "ema_model" where it has averages, and the "config" that
 * its inference.py and evaluate.py build the model from. Its encoder alone is "encoder_state_dict",
 * the head of a classifier "head_state_dict"; of any other model the tensors are under "model". */
MF_MUST_USE mf_status mf_write_torch_model(const mf_artifact *model, const char *path);

#endif
