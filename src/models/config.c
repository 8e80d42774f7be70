/* config.c - see config.h. */
#include "models/config.h"

#include "base/err.h"
#include "format/checkpoint.h"

int config_open(struct config *c, const struct checkpoint *file, const char *component,
                struct err *e)
{
    json_error_t where;
    const char *text = checkpoint_config(file, component);
    *c = (struct config){.component = component};
    if (!text)
        return 0;
    c->root = json_loads(text, 0, &where);
    if (!c->root || !json_is_object(c->root)) {
        config_close(c);
        return err_set(e, ERR_FORMAT, "%s: the configuration of %s is not a JSON object: %s",
                       checkpoint_path(file), component, where.text);
    }
    return 0;
}

void config_close(struct config *c)
{
    json_decref(c->root);
    c->root = NULL;
}

static int int_value(const json_t *v, int standard, int least, int most)
{
    if (!json_is_integer(v))
        return standard;
    json_int_t n = json_integer_value(v);
    return n < least || n > most ? standard : (int)n;
}

int config_int(const struct config *c, const char *key, int standard, int least, int most)
{
    return int_value(json_object_get(c->root, key), standard, least, most);
}

int config_int_at(const struct config *c, const char *key, int i, int standard)
{
    json_t *v = json_object_get(c->root, key);
    size_t n = json_array_size(v);
    if (n)
        v = json_array_get(v, (size_t)i < n ? (size_t)i : n - 1);
    return int_value(v, standard, 1, 1 << 20);
}

double config_real(const struct config *c, const char *key, double standard)
{
    const json_t *v = json_object_get(c->root, key);
    return json_is_number(v) ? json_number_value(v) : standard;
}

bool config_bool(const struct config *c, const char *key, bool standard)
{
    const json_t *v = json_object_get(c->root, key);
    return json_is_boolean(v) ? json_is_true(v) : standard;
}

const char *config_text(const struct config *c, const char *key, const char *standard)
{
    const char *s = json_string_value(json_object_get(c->root, key));
    return s ? s : standard;
}
