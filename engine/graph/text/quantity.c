/* quantity.c - see quantity.h. */
#include "graph/text/quantity.h"

#include <stdlib.h>
#include <string.h>

bool mf__read_bytes(const char *text, size_t *bytes)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"MB", 1e6}, {"GB", 1e9}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
    char *end;
    double value = strtod(text, &end);
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit) && value > 0 && value * units[i].bytes < 0x1p60) {
            *bytes = (size_t)(value * units[i].bytes);
            return *bytes > 0;
        }
    return false;
}

/* Digits, at most `most` of them: the number, and *text behind it. Below 0: there are none. */
static double digits(const char **text, size_t most)
{
    size_t n = strspn(*text, "0123456789");
    double value = n && n <= most ? strtod(*text, NULL) : -1;
    *text += n;
    return value;
}

bool mf__read_time_limit(const char *text, double *seconds)
{
    double days = 0, parts[3] = {0};
    int count = 0;
    bool has_days = strchr(text, '-');
    if (has_days) {
        days = digits(&text, 5);
        if (days < 0 || *text++ != '-')
            return false;
    }
    do {
        parts[count] = digits(&text, 6);
        if (parts[count++] < 0)
            return false;
    } while (count < 3 && *text == ':' && text++);
    if (*text)
        return false;
    /* With days the first part is hours; without, one part is minutes and two are minutes and
     * seconds. */
    int first = has_days ? 3600 : count == 3 ? 3600 : 60;
    *seconds = days * 86400;
    for (int i = 0; i < count; i++, first /= 60)
        *seconds += parts[i] * first;
    return *seconds > 0;
}
