/* devices.c - the command devices: which OpenCL devices there are, and whether they compute right.
 */
#include "compute/devices.h"
#include "command.h"
#include "compute/programs.h"
#include "device_check.h"
#include "run/process/signals.h"

#include <stdlib.h>
#include <string.h>

/* A processor once: other drivers of it are lines of its entry. */
static void print_device(const mf_device_info *infos, size_t count, size_t i)
{
    const mf_device_info *d = &infos[i];

    printf("%zu  %s (%s)%s\n", i, d->name, d->is_cpu ? "CPU" : "GPU", i ? "" : "   default");
    printf("   platform %s, %s, driver %s\n", d->platform, d->version, d->driver);
    printf("   %d compute units, %.1f GiB memory, %.1f GiB maximum allocation, %zu KiB local%s\n",
           d->compute_units, (double)d->memory / 0x1p30, (double)d->max_allocation / 0x1p30,
           d->local_memory / 1024, d->shares_host_memory ? ", shares the host's memory" : "");
    for (size_t k = 0; k < count; k++)
        if (infos[k].same_as == (int)i)
            printf("   also device %zu: %s, platform %s, %s, driver %s\n", k, infos[k].name,
                   infos[k].platform, infos[k].version, infos[k].driver);
}

/* Drivers that massflow passes over. */
static mf_status print_refused(void)
{
    mf_device_info *infos;
    size_t count;

    MF_TRY(mf_devices_refused(&infos, &count));
    for (size_t i = 0; i < count; i++)
        printf("Not used: %s, platform %s, %s: massflow needs OpenCL 1.2 with a compiler\n",
               infos[i].name, infos[i].platform, infos[i].version);
    free(infos);
    return MF_OK;
}

static int list(void)
{
    mf_device_info *infos;
    size_t count;
    mf_status status = mf_devices_list(&infos, &count);

    mf_signals_hold();
    if (status)
        return command_fail(status, EXIT_FAILED);
    for (size_t i = 0; i < count; i++)
        if (infos[i].same_as < 0)
            print_device(infos, count, i);
    free(infos);
    status = print_refused();
    if (status)
        return command_fail(status, EXIT_FAILED);
    mf_programs *programs = mf_programs_open(NULL, &status);
    if (programs)
        printf("Built kernels are kept in %s\n", mf_programs_folder(programs));
    else
        printf("Built kernels are not kept: %s\n", mf_error_message(status));
    mf_error_free(status);
    mf_programs_free(programs);
    return EXIT_DONE;
}

static int check(const args *a)
{
    bool json = args_has(a, "json");
    check_request request = {.device = args_count(a) ? args_at(a, 0) : NULL,
                             .options = {.depth = args_has(a, "quick")      ? MF_CHECK_QUICK
                                                  : args_has(a, "thorough") ? MF_CHECK_THOROUGH
                                                                            : MF_CHECK_USUAL,
                                         .only = args_value(a, "only")},
                             .own_form = args_has(a, "own-form")};
    FILE *out = json ? stderr : stdout;
    check_report report;
    mf_status status = device_check(&request, out, &report);
    int code = report.right ? EXIT_DONE : EXIT_FAILED;

    if (!status && !report.devices->cases)
        status = mf_fail(MF_NOT_FOUND, "no op is called \"%s\"", request.options.only);
    if (!status)
        check_show_sum(out, &report);
    if (!status && json) {
        char *text = check_json(&report);

        if (text)
            printf("%s\n", text);
        else
            status = mf_no_memory(0, "the answer");
        free(text);
    }
    check_report_clear(&report);
    return status ? command_fail(status, EXIT_FAILED) : code;
}

static int devices(const args *a)
{
    static const char *const others[] = {"json", "quick", "thorough", "own-form", "only"};

    if (args_has(a, "check")) {
        if (args_has(a, "quick") && args_has(a, "thorough"))
            return command_refuse("--quick and --thorough exclude each other");
        return check(a);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (args_has(a, others[i]))
            return command_refuse("--%s goes with --check", others[i]);
    if (args_count(a))
        return command_refuse("a device is named with --check only");
    return list();
}

static const option options[] = {
    {0, "check", NULL, "check every op on each device, or on the one that is named"},
    {0, "json", NULL, "print the checks as JSON, to be sent; the table goes to stderr"},
    {0, "quick", NULL, "one small case of each op"},
    {0, "thorough", NULL, "every case there is; takes minutes"},
    {0, "own-form", NULL, "on a CPU only its own form of the kernels"},
    {0, "only", "PART", "only ops whose name contains this"},
    OPTION_END};

const command command_devices = {"devices",
                                 "[DEVICE]",
                                 "list the OpenCL devices, the first is the default; or check them",
                                 "DEVICE is what --device takes: cpu, gpu, a number of the list, "
                                 "part of a name. A check compares\n"
                                 "each op, forward and backward, with a plain reference on the "
                                 "host and ends with exit status 1\n"
                                 "where one is wrong. docs/devices.md says how to read its table.",
                                 options,
                                 0,
                                 1,
                                 devices};
