/* metrics_stages.h - the stages of this plugin, by file. */
#ifndef METRICS_STAGES_H
#define METRICS_STAGES_H

#include <massflow/stage.h>

extern const mf_stage metrics_overlap, metrics_masks, table_join, table_summarize;

#endif
