/* process.c - see process.h. */
#include "store/process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    text[0] = 0;
    if (!file)
        return;
    if (!fgets(text, (int)size, file))
        text[0] = 0;
    fclose(file);
    text[strcspn(text, "\n")] = 0;
}

int64_t mf_process_start(int64_t pid)
{
    char path[64], line[1024], state = 0;
    long long start = -1;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    read_line(path, line, sizeof line);
    const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %lld",
                        &state, &start) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : start;
}

void mf_process_self(mf_process *self)
{
    char boot[64], space[48];
    ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[length < 0 ? 0 : length] = 0;
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(self->machine, sizeof self->machine, "%s %s", boot, space);
    self->pid = getpid();
    self->start = mf_process_start(self->pid);
}

bool mf_process_near(const mf_process *a, const char *machine)
{
    return machine && !strcmp(a->machine, machine);
}

bool mf_process_gone(const mf_process *process)
{
    mf_process self;
    mf_process_self(&self);
    /* Where /proc says nothing even of this process nothing can be known of others. */
    return self.start >= 0 && process->start >= 0 && mf_process_near(&self, process->machine) &&
           mf_process_start(process->pid) != process->start;
}
