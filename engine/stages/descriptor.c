/* descriptor.c - whether a plugin fits this engine, and whether a stage's descriptor holds
 * together, so that everything after loading may trust it. */
#include "stages/params.h"
#include "stages/registry.h"

#include <ctype.h>
#include <string.h>

mf_status mf_plugin_check_abi(const mf_plugin *p, const char *file)
{
    if (!p)
        return mf_fail(MF_INVALID, "plugin %s: massflow_plugin() returned nothing", file);
    if (p->abi_major != MF_ABI_MAJOR || p->abi_minor > MF_ABI_MINOR || p->abi_minor < 0)
        return mf_hint(mf_fail(MF_INVALID,
                               "plugin %s was built for stage interface %d.%d; this massflow has "
                               "%d.%d",
                               file, p->abi_major, p->abi_minor, MF_ABI_MAJOR, MF_ABI_MINOR),
                       p->abi_major == MF_ABI_MAJOR ? "use a newer massflow, or build the plugin "
                                                      "against the headers of this one"
                                                    : "build the plugin against the headers of "
                                                      "this massflow");
    return mf_plugin_check_layout(p, file);
}

/* ---- ports ----------------------------------------------------------------------------------- */

bool mf_port_type_parse(const char *text, mf_port_type *type)
{
    size_t length = strlen(text);
    *type = (mf_port_type){.shape = MF_PORT_ONE};
    if (length && text[length - 1] == '?') {
        type->optional = true;
        length--;
    }
    if (length > 8 && !strncmp(text, "stream<", 7) && text[length - 1] == '>') {
        type->shape = MF_PORT_STREAM;
        text += 7;
        length -= 8;
    } else if (length > 2 && text[length - 2] == '[' && text[length - 1] == ']') {
        type->shape = MF_PORT_LIST;
        length -= 2;
    }
    if (!length || length >= sizeof type->name)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
            return false;
    memcpy(type->name, text, length);
    return true;
}

size_t mf_port_count(const mf_port *ports)
{
    size_t count = 0;
    while (ports && ports[count].name)
        count++;
    return count;
}

int mf_port_find(const mf_port *ports, const char *name)
{
    for (int i = 0; ports && ports[i].name; i++)
        if (!strcmp(ports[i].name, name))
            return i;
    return -1;
}

static bool named(const char *name)
{
    if (!name || !isalpha((unsigned char)*name))
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

static mf_status check_ports(const mf_registry *r, const mf_port *ports)
{
    for (const mf_port *p = ports; p && p->name; p++) {
        mf_port_type type;
        if (!named(p->name))
            return mf_fail(MF_INVALID, "'%s' is not a valid name of a port: letters, digits and _",
                           p->name);
        if (mf_port_find(ports, p->name) != p - ports)
            return mf_fail(MF_INVALID, "port '%s' stands twice", p->name);
        if (!p->type || !mf_port_type_parse(p->type, &type))
            return mf_fail(MF_INVALID, "port '%s' has the type '%s'; write T, T?, T[] or stream<T>",
                           p->name, p->type ? p->type : "");
        if (!mf_registry_type(r, type.name))
            return mf_fail(MF_INVALID, "port '%s' has the unknown type '%s'", p->name, type.name);
    }
    return MF_OK;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static mf_status check_param(const mf_stage *s, mf_params *scratch, const mf_param *p)
{
    size_t size = mf_param_field_size(p->kind);
    if (!named(p->name))
        return mf_fail(MF_INVALID, "'%s' is not a valid name of a parameter: letters, digits and _",
                       p->name);
    if (mf_param_find(s, p->name) != p)
        return mf_fail(MF_INVALID, "parameter '%s' stands twice", p->name);
    if (!size)
        return mf_fail(MF_INVALID, "parameter '%s' is of no known kind", p->name);
    if (p->offset > s->params_size || size > s->params_size - p->offset)
        return mf_fail(MF_INVALID, "parameter '%s' lies outside the parameter struct", p->name);
    if (size > 1 && p->offset % sizeof(int64_t)) /* of bool's size is bool alone */
        return mf_fail(MF_INVALID,
                       "parameter '%s' lies at byte %zu of the parameter struct, where "
                       "no field of its kind can lie",
                       p->name, p->offset);
    if (!p->help)
        return mf_fail(MF_INVALID, "parameter '%s' has no help", p->name);
    if (p->kind == MF_PARAM_CHOICE && (!p->choices || !*p->choices))
        return mf_fail(MF_INVALID, "parameter '%s' has no choices", p->name);
    if (p->min > p->max)
        return mf_fail(MF_INVALID, "parameter '%s' has its range the wrong way round", p->name);
    if (p->marks & MF_RANKS && (p->kind != MF_PARAM_INT || !(p->marks & MF_NO_CACHE)))
        return mf_fail(MF_INVALID, "parameter '%s' is marked MF_RANKS, but not INT and MF_NO_CACHE",
                       p->name);
    if (mf_param_required(p))
        return MF_OK;
    return mf_within(mf_params_fallback(scratch, p), "default");
}

static mf_status check_params(const mf_stage *s)
{
    if (!s->params)
        return MF_OK;
    mf_params *scratch = mf_params_empty(s);
    mf_status status = MF_OK;
    if (!scratch)
        return mf_no_memory(0, "the parameters");
    for (const mf_param *p = s->params; p->name && !status; p++)
        status = check_param(s, scratch, p);
    mf_params_unref(scratch);
    return status;
}

/* ---- stages ---------------------------------------------------------------------------------- */

static bool stage_named(const char *name)
{
    const char *dot = name ? strchr(name, '.') : NULL;
    if (!dot || dot == name || !dot[1] || strchr(dot + 1, '.'))
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
            return false;
    return true;
}

static mf_status check_streams(const mf_stage *s)
{
    size_t outputs = mf_port_count(s->out), streams = 0;
    for (size_t i = 0; i < outputs; i++) {
        mf_port_type type;
        streams += mf_port_type_parse(s->out[i].type, &type) && type.shape == MF_PORT_STREAM;
    }
    if (!outputs)
        return mf_fail(MF_INVALID, "no output port");
    if (!s->run == !s->item)
        return mf_fail(MF_INVALID, "exactly one of run and item must be set");
    if (s->item && (outputs != 1 || streams != 1))
        return mf_fail(MF_INVALID, "item is for a stage with one output, a stream");
    if (s->run && streams)
        return mf_fail(MF_INVALID, "a stream is made by item, not by run");
    return MF_OK;
}

mf_status mf_stage_check(const mf_registry *r, const mf_stage *s)
{
    if (!stage_named(s->name))
        return mf_fail(MF_INVALID, "a stage's name has two parts, as in \"masks.nms\"");
    if (s->version < 1)
        return mf_fail(MF_INVALID, "version is %d; it starts at 1", s->version);
    if (!s->summary)
        return mf_fail(MF_INVALID, "no summary");
    if (!(s->tolerance >= 0 && s->tolerance < 1))
        return mf_fail(MF_INVALID, "tolerance is %g; it is a part, from 0 to below 1",
                       s->tolerance);
    if (!s->open != !s->close)
        return mf_fail(MF_INVALID, "open and close come together");
    MF_TRY(check_ports(r, s->in));
    MF_TRY(check_ports(r, s->out));
    MF_TRY(check_streams(s));
    return check_params(s);
}

/* ---- sources of cases ------------------------------------------------------------------------ */

/* What every source's map may hold beside its options. */
static bool reserved(const char *name)
{
    return !strcmp(name, "id") || !strcmp(name, "path") || !strcmp(name, "exclude") ||
           !strcmp(name, "optional");
}

static mf_status check_columns(const mf_case_source *s, const mf_stage *options)
{
    for (const mf_source_column *c = s->columns; c && c->name; c++) {
        size_t length = strcspn(c->name, "*");
        if (!length || c->name[length + (c->name[length] == '*')] || reserved(c->name))
            return mf_fail(MF_INVALID, "'%s' is not a valid name of a column of a source", c->name);
        if (!c->help)
            return mf_fail(MF_INVALID, "column '%s' has no help", c->name);
        if (mf_param_find(options, c->name))
            return mf_fail(MF_INVALID, "'%s' is an option and a column", c->name);
    }
    return MF_OK;
}

mf_status mf_case_source_check(const mf_case_source *s)
{
    const mf_stage options = {.name = s->name, .params = s->params, .params_size = s->params_size};

    if (!named(s->name) || reserved(s->name))
        return mf_fail(MF_INVALID, "that is not a valid name of a source: letters, digits and _");
    if (!s->summary)
        return mf_fail(MF_INVALID, "no summary");
    if (!s->read)
        return mf_fail(MF_INVALID, "read is not set");
    if (!s->params || !s->params->name || strcmp(s->params->name, s->name))
        return mf_fail(MF_INVALID, "its first option must have the source's name");
    for (const mf_param *p = s->params; p->name; p++)
        if (reserved(p->name))
            return mf_fail(MF_INVALID, "'%s' cannot be an option: it has a meaning for all sources",
                           p->name);
    MF_TRY(check_columns(s, &options));
    return check_params(&options);
}
