/* check_device.c - `massflow devices --check` without the rest of massflow, for a machine that has
 * none of its packages (tools/gpu).
 *
 * check_device [DEVICE]    as the command takes it; default: the best. Exit status 1 where one is
 * wrong. */
#include "bench.h"
#include "device_check.h"

#include <massflow/compute.h>

int main(int argc, char **argv)
{
    const check_request request = {.device = argc > 1 ? argv[1] : "",
                                   .options = {.depth = MF_CHECK_USUAL}};
    check_report report;
    check(device_check(&request, stdout, &report));
    check_show_sum(stdout, &report);
    bool right = report.right;
    check_report_clear(&report);
    return right ? 0 : 1;
}
