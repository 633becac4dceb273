/* metrics.c - the plugin: what measures results, and puts measures together. */
#include "metrics_stages.h"

MF_PLUGIN("metrics", &metrics_overlap, &metrics_masks, &table_join, &table_summarize)
