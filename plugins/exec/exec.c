/* exec.c - the plugin exec. */
#include <massflow/stage.h>

extern const mf_stage exec_run;

MF_PLUGIN("exec", &exec_run)
