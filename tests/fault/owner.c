/* owner.c - preloaded into massflow: the file system gives what the user makes to somebody else, as
 * one does that squashes owners. (The user is told to be another one, which comes to the same.) */
#include <sys/syscall.h>
#include <unistd.h>

uid_t geteuid(void)
{
    return (uid_t)syscall(SYS_geteuid) + 1;
}
