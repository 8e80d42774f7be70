/* list.c - the command `lar list`: the models in the store. */
#include "base/buf.h"
#include "base/err.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "engine/store.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MAX_TEXT ((size_t)16 << 20)

struct rows {
    const char *prefix; /* of the names wanted; NULL: all */
    json_t *models;
};

/* A size as Ollama shows it: powers of 1000. */
static void size_text(char *out, size_t room, int64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double x = (double)bytes;
    int u = 0;
    for (; x >= 1000 && u < 4; u++)
        x /= 1000;
    snprintf(out, room, u && x < 10 ? "%.1f %s" : "%.0f %s", x, units[u]);
}

static void age_text(char *out, size_t room, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{365 * 86400, "year"}, {30 * 86400, "month"}, {7 * 86400, "week"},
                 {86400, "day"},        {3600, "hour"},        {60, "minute"}};
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        int64_t n = seconds / units[i].seconds;
        if (n > 0) {
            snprintf(out, room, "%lld %s%s ago", (long long)n, units[i].unit, n > 1 ? "s" : "");
            return;
        }
    }
    snprintf(out, room, "now");
}

static void add_model(const struct store_model *m, void *ctx)
{
    struct rows *r = ctx;
    char *name = model_name_text(&m->name);
    if (!r->prefix || strncasecmp(name, r->prefix, strlen(r->prefix)) == 0)
        json_array_append_new(r->models,
                              json_pack("{s:s, s:s, s:I, s:I}", "name", name, "digest", m->id,
                                        "size", (json_int_t)manifest_size(&m->manifest), "modified",
                                        (json_int_t)m->modified));
    free(name);
}

static void warn(const struct err *e, void *ctx)
{
    (void)ctx;
    message_warn("%s", e->text);
}

static void write_table(struct buf *out, const json_t *models)
{
    int width = 4;
    size_t i;
    const json_t *m;
    json_array_foreach(models, i, m)
    {
        int n = (int)json_string_length(json_object_get(m, "name"));
        width = n > width ? n : width;
    }
    buf_printf(out, "%-*s  %-12s  %8s  %s\n", width, "NAME", "ID", "SIZE", "MODIFIED");
    json_array_foreach(models, i, m)
    {
        char size[32], age[32];
        size_text(size, sizeof(size), json_integer_value(json_object_get(m, "size")));
        age_text(age, sizeof(age), time(NULL) - json_integer_value(json_object_get(m, "modified")));
        buf_printf(out, "%-*s  %.12s  %8s  %s\n", width,
                   json_string_value(json_object_get(m, "name")),
                   json_string_value(json_object_get(m, "digest")) + strlen("sha256:"), size, age);
    }
}

int command_list(const struct options *o, struct err *e)
{
    struct store s;
    struct buf out;
    struct rows r = {o->n_operands ? o->operands[0] : NULL, json_array()};
    struct store_visitor v = {add_model, warn, &r};
    store_open(&s);
    int rc = store_each(&s, &v, e);
    store_close(&s);
    buf_init(&out, MAX_TEXT);
    if (o->value[OPTION_JSON].given) {
        char *text = json_dumps(r.models, JSON_INDENT(2));
        buf_printf(&out, "%s\n", text);
        free(text);
    } else {
        write_table(&out, r.models);
    }
    if (!rc && buf_failed(&out))
        rc = err_set(e, ERR_NOMEM, "the list is longer than 16 MiB");
    if (!rc)
        rc = message_out(buf_str(&out), out.len, e);
    buf_release(&out);
    json_decref(r.models);
    return rc;
}
