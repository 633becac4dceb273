/* corpus_stages.h - the stages and sources of cases of this plugin. */
#ifndef CORPUS_STAGES_H
#define CORPUS_STAGES_H

#include <massflow/cases.h>

extern const mf_stage mf_stage_mass_import, mf_stage_mass_export;
extern const mf_case_source autopet_cases, mass_cases, mass_labels_cases;

#endif
