/* sites.c - see sites.h. */
#include "sites.h"

#include "run/pool/slurm.h"
#include "workspace.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int open_site(const args *a, mf_site **site)
{
    mf_diagnostics *d = NULL;
    *site = NULL;
    mf_status status = mf_diagnostics_new(&d);
    if (!status)
        status = mf_site_read(args_value(a, "pools"), d, site);
    char *text = status || *site ? NULL : mf_diagnostics_text(d);
    if (text)
        fputs(text, stderr);
    free(text);
    mf_diagnostics_free(d);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    return *site ? EXIT_DONE : EXIT_REQUEST;
}

mf_status read_site(const char *path, mf_site **site)
{
    mf_diagnostics *d = NULL;
    *site = NULL;
    MF_TRY(mf_diagnostics_new(&d));
    mf_status status = mf_site_read(path, d, site);
    if (!status && !*site) {
        char *text = mf_diagnostics_text(d);
        size_t length = text ? strlen(text) : 0;
        while (length && text[length - 1] == '\n')
            text[--length] = 0;
        status = text ? mf_fail(MF_INVALID, "%s", text) : mf_no_memory(0, "the errors of a site");
        free(text);
    }
    mf_diagnostics_free(d);
    return status;
}

/* "8 slots, 32 GB, 2 devices": what a worker has. */
static void print_sizes(FILE *out, const mf_pool *p)
{
    int slots, devices;
    size_t memory;
    char bytes[32];
    mf_slurm_sizes(p, &slots, &memory, &devices);
    if (p->submit == MF_SUBMIT_COMMAND && !p->slots)
        fprintf(out, "all slots of its host");
    else
        fprintf(out, "%d slot%s", slots, slots == 1 ? "" : "s");
    words_bytes((double)memory, bytes);
    if (memory)
        fprintf(out, ", %s", bytes);
    if (devices)
        fprintf(out, ", %d device%s", devices, devices == 1 ? "" : "s");
}

void site_pool_words(FILE *out, const mf_pool *p)
{
    char took[32];
    fprintf(out, "%s, at most %d worker%s, ", p->submit == MF_SUBMIT_SLURM ? "Slurm" : "command",
            p->max, p->max == 1 ? "" : "s");
    if (p->mpi)
        fprintf(out, "%d started together by MPI, ", mf_pool_tasks(p));
    fprintf(out, "each with ");
    print_sizes(out, p);
    if (p->time_text) {
        words_seconds(p->time, took);
        fprintf(out, ", for %s", took);
    }
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return false;
}

/* This host's name, which has to be an address for others, too. */
static mf_status own_name(char name[256])
{
    struct addrinfo *found = NULL;
    bool reached = false;
    if (gethostname(name, 256))
        strcpy(name, "localhost");
    name[255] = 0;
    if (!getaddrinfo(name, NULL, &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &found)) {
        reached = !is_loopback(found->ai_addr);
        freeaddrinfo(found);
    }
    if (reached)
        return MF_OK;
    return mf_hint(
        mf_fail(MF_INVALID,
                "workers on other hosts can't connect to '%s', the name of this host: it "
                "is no address, or one of this host alone",
                name),
        "say which address they reach: --listen HOST[:PORT], or 'listen: HOST' in the "
        "file of pools");
}

/* The colon before the port, or NULL: in "[::1]:7000", not in "[::1]". */
static const char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':'), *bracket = strrchr(address, ']');
    return colon && (!bracket || colon > bracket) ? colon : NULL;
}

mf_status listen_address(const char *listen, const mf_site *site, const char *last, char **address)
{
    char name[256];
    const char *host = listen;
    *address = NULL;
    if (!host && site)
        host = mf_site_listen(site);
    if (!host) {
        MF_TRY(own_name(name));
        host = name;
    }
    const char *port = port_of(host) || !last ? NULL : port_of(last);
    if (asprintf(address, "%s%s", host, port_of(host) ? "" : port ? port : ":0") < 0) {
        *address = NULL;
        return mf_no_memory(0, "an address");
    }
    return MF_OK;
}

mf_status connect_address(const char *listen, const char *bound, char **connect)
{
    const char *host_end = port_of(listen), *port = port_of(bound);
    int length = (int)(host_end ? (size_t)(host_end - listen) : strlen(listen));
    if (asprintf(connect, "%.*s%s", length, listen, port ? port : "") < 0) {
        *connect = NULL;
        return mf_no_memory(0, "an address");
    }
    return MF_OK;
}
