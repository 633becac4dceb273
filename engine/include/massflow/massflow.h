/* massflow.h - everything a plugin or an embedding program may include. */
#ifndef MASSFLOW_MASSFLOW_H
#define MASSFLOW_MASSFLOW_H

#include <massflow/array.h>
#include <massflow/artifact.h>
#include <massflow/cases.h>
#include <massflow/compute.h>
#include <massflow/embed.h>
#include <massflow/error.h>
#include <massflow/file.h>
#include <massflow/memory.h>
#include <massflow/names.h>
#include <massflow/program.h>
#include <massflow/random.h>
#include <massflow/seconds.h>
#include <massflow/stage.h>

#endif
