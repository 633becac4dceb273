/* python.h - stages of a Python file, run by worker processes that stay (docs/python.md).
 *
 * A worker is `python3 -m massflow._worker FILE.py`: it reads the file, describes its stages, and
 * then runs one node after another. The messages are those of run/worker/wire.h. What is described
 * is what runs: each further worker must describe the same, with the same digests of code. */
#ifndef MASSFLOW_RUN_PYTHON_H
#define MASSFLOW_RUN_PYTHON_H

#include "stages/stages.h"

/* Whether a plugin is one of these: its name ends in .py. */
bool mf_python_is(const char *file);
/* Adds the stages of the file. Its workers end with the registry. */
MF_MUST_USE mf_status mf_python_load(mf_registry *registry, const char *file);

#endif
