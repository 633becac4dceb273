/* check.h - artifacts against what their type declares (mf_type, stage.h): when a stage publishes
 * one, when one is imported, and when one is read. */
#ifndef MASSFLOW_RUN_CHECK_H
#define MASSFLOW_RUN_CHECK_H

#include "stages/stages.h"
#include "store/store.h"

/* Arrays and attributes that the type asks for are there, with their kinds and shapes; a grid can
 * be one; boxes of masks lie in it. What holds after this every reader may rely on. */
MF_MUST_USE mf_status mf_check_artifact(const mf_registry *registry, const mf_artifact *artifact);
/* The same without reading arrays. */
MF_MUST_USE mf_status mf_check_record(const mf_registry *registry, const mf_artifact *artifact);
/* Whether the outputs of an action, which have these types, are those of its stage, and its key is
 * one of that stage. MF_OK of a stage that no plugin has. */
MF_MUST_USE mf_status mf_check_action(const mf_registry *registry, const mf_action *action,
                                      const char *const *types);
/* mf_store_get, checked: a record whose digest is right may still contradict itself. */
MF_MUST_USE mf_status mf_open_artifact(mf_store *store, const mf_registry *registry, const char *id,
                                       mf_artifact **artifact);

#endif
