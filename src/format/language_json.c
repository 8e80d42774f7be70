/* language_json.c - see language_json.h. */
#include "format/language_json.h"

#include "format/checkpoint.h"

#include <jansson.h>
#include <math.h>

#define MAX_HEAD 65536

void language_json_open(struct language_json *k, const struct checkpoint *c)
{
    json_error_t at;
    const char *text = checkpoint_config(c, "");
    *k = (struct language_json){.arch = checkpoint_language(c)};
    k->root = text ? json_loads(text, 0, &at) : NULL;
    k->text = json_object_get(k->root, "text_config"); /* of models that also see */
    if (!json_is_object(k->text))
        k->text = k->root;
    k->rope = json_object_get(k->text, "rope_parameters");
    if (!json_is_object(k->rope))
        k->rope = json_object_get(k->text, "rope_scaling");
    const json_t *full = json_object_get(k->rope, "full_attention");
    k->rope = full ? full : k->rope;
}

void language_json_close(struct language_json *k)
{
    json_decref(k->root);
}

double language_json_number(const struct language_json *k, const char *key, const char *old)
{
    const json_t *v = json_object_get(k->text, key);
    if (!json_is_number(v) && old)
        v = json_object_get(k->text, old);
    return json_number_value(v);
}

double language_json_head(const struct language_json *k)
{
    double d = language_json_number(k, "head_dim", NULL);
    double heads = language_json_number(k, "num_attention_heads", "n_head");
    double width = language_json_number(k, "hidden_size", "n_embd");
    d = d > 0 ? d : heads > 0 ? floor(width / heads) : 0;
    return d >= 1 && d <= MAX_HEAD ? d : 0;
}

int language_json_rotated(const struct language_json *k)
{
    double partial = json_number_value(json_object_get(k->rope, "partial_rotary_factor"));
    if (!(partial > 0))
        partial = language_json_number(k, "partial_rotary_factor", NULL);
    return (int)(language_json_head(k) * (partial > 0 && partial < 1 ? partial : 1));
}

double language_json_theta(const struct language_json *k)
{
    double theta = json_number_value(json_object_get(k->rope, "rope_theta"));
    if (!(theta > 0))
        theta = language_json_number(k, "rope_theta", "rotary_emb_base");
    return theta > 0 ? theta : 10000;
}

const char *language_json_scaling(const struct language_json *k)
{
    const char *type = json_string_value(json_object_get(k->rope, "rope_type"));
    type = type ? type : json_string_value(json_object_get(k->rope, "type"));
    return type ? type : "default";
}
