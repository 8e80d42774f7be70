/* inspect.c - see inspect.h. The findings become one JSON object; the text is made from that. */
#include "cli/inspect.h"

#include "base/err.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/inspect_lora.h"
#include "cli/message.h"
#include "format/checkpoint.h"
#include "format/describe.h"
#include "format/picture.h"
#include "format/weights.h"
#include "pipeline/recipe.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

static const char *string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static json_t *count_json(const struct type_count *n)
{
    return json_pack("{s:I, s:I, s:I}", "tensors", (json_int_t)n->n_tensors, "parameters",
                     (json_int_t)n->parameters, "bytes", (json_int_t)n->bytes);
}

static json_t *part_json(const struct part_summary *p)
{
    json_t *o = count_json(&p->all), *types = json_object();
    for (size_t i = 0; i < p->n_types; i++)
        json_object_set_new(types, p->types[i].type, count_json(&p->types[i]));
    json_object_set_new(o, "types", types);
    return o;
}

static json_t *tensors_json(const struct checkpoint *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < checkpoint_n(c); i++) {
        const struct ckpt_tensor *t = checkpoint_at(c, i);
        json_t *shape = json_array();
        for (int k = 0; k < t->n_dim; k++)
            json_array_append_new(shape, json_integer(t->dim[k]));
        json_t *o = json_pack("{s:s, s:s, s:o}", "name", t->name, "type", t->type_name, "shape",
                              shape);
        if (strcmp(t->name, t->file_name) != 0)
            json_object_set_new(o, "name_in_file", json_string(t->file_name));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *configs_json(const struct checkpoint *c)
{
    static const char *const names[] = {"model_index",    "scheduler", "text_encoder",
                                        "text_encoder_2", "unet",      "vae"};
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = checkpoint_config(c, names[i]);
        json_t *v = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (v)
            json_object_set_new(o, names[i], v);
    }
    return o;
}

/* What the file says about itself, without the configurations that have their own place. */
static json_t *metadata_json(const struct checkpoint *c)
{
    const struct weight_file *f = checkpoint_weights(c)->files[0];
    json_t *o = json_object();
    for (size_t i = 0; f->is_gguf && i < f->gguf.n_values; i++) {
        const struct gguf_value *v = &f->gguf.values[i];
        int64_t whole;
        double real;
        json_t *j = v->text                     ? json_string(v->text)
                    : v->array                  ? json_sprintf("%zu values", v->n)
                    : gguf_int_at(v, 0, &whole) ? json_integer(whole)
                    : gguf_num_at(v, 0, &real)  ? json_real(real)
                    : v->type == GGUF_BOOL      ? json_boolean(v->data[0])
                                                : NULL;
        if (j && strncmp(v->key, "lar.config.", 11) != 0 && strcmp(v->key, "lar.model_index") != 0)
            json_object_set(o, v->key, j);
        json_decref(j);
    }
    for (size_t i = 0; !f->is_gguf && i < f->st.meta.cap; i++) {
        const struct map_slot *s = &f->st.meta.slots[i];
        if (s->key && strncmp(s->key, "lar.", 4) != 0)
            json_object_set_new(o, s->key, json_string(s->value));
    }
    return o;
}

static void add_vocab(json_t *root, const struct checkpoint *c, const char *component)
{
    const struct ckpt_vocab *v = checkpoint_vocab(c, component);
    if (v)
        json_object_set_new(root, component,
                            json_pack("{s:I, s:I}", "tokens", (json_int_t)v->n_tokens, "merges",
                                      (json_int_t)v->n_merges));
}

static json_t *model_json(struct checkpoint *c, const struct inspect_options *o, struct err *e)
{
    struct model_summary s;
    char hash[11];
    if (o->hash && checkpoint_hash(c, hash, e))
        return NULL;
    model_summary_read(&s, c);
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "model", "path", o->path,
                             "architecture", s.architecture, "layout", s.layout, "format",
                             s.format);
    json_t *lora = file_is_dir(o->path) ? NULL : inspect_lora(o->path, o->hash);
    if (lora)
        json_object_set_new(root, "architecture", json_sprintf("LoRA for %s", string(lora, "for")));
    json_object_set_new(root, "lora", lora); /* nothing is set for NULL */
    json_t *parts = json_object();
    for (size_t i = 0; i < s.n_parts; i++)
        json_object_set_new(parts, s.parts[i].component, part_json(&s.parts[i]));
    json_object_set_new(root, "total", part_json(&s.total));
    json_object_set_new(root, "components", parts);
    add_vocab(root, c, "tokenizer");
    add_vocab(root, c, "tokenizer_2");
    json_object_set_new(root, "config", configs_json(c));
    json_object_set_new(root, "metadata", metadata_json(c));
    if (o->hash)
        json_object_set_new(root, "hash", json_string(hash));
    if (o->tensors)
        json_object_set_new(root, "tensors", tensors_json(c));
    model_summary_release(&s);
    return root;
}

/* ---- pictures ---- */

static json_t *picture_json(const struct inspect_options *o, struct err *e)
{
    struct picture p = {0};
    struct picture_text text = {0};
    struct recipe r;
    struct err none = {0};
    if (picture_read(o->path, &p, &text, e))
        return NULL;
    json_t *root = json_pack("{s:s, s:s, s:i, s:i, s:i}", "kind", "picture", "path", o->path,
                             "width", p.width, "height", p.height, "channels", p.channels);
    recipe_init(&r);
    if (recipe_from_text(&r, &text, o->path, &none) == 0) {
        char *recipe = recipe_to_json(&r);
        json_object_set_new(root, "recipe", json_loads(recipe, 0, NULL));
        free(recipe);
    }
    json_t *texts = json_object();
    for (int i = 0; i < text.n; i++)
        json_object_set_new(texts, text.items[i].key, json_string(text.items[i].value));
    json_object_set_new(root, "text", texts);
    recipe_release(&r);
    picture_text_release(&text);
    picture_release(&p);
    return root;
}

/* ---- text ---- */

/* "859.5 M": at most four digits, for people. */
static const char *scaled(char out[32], double v, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    size_t i = 0;
    while (v >= 999.95 && i < 4) {
        v /= 1000;
        i++;
    }
    const char *p = !*unit && i == 3 ? "B" : prefix[i];
    const char *space = *p || *unit ? " " : "";
    snprintf(out, 32, "%.*f%s%s%s", i ? (v < 10 ? 2 : 1) : 0, v, space, p, unit);
    return out;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* At most `most` bytes of text from a file: control characters, which could move the cursor or
 * recolour the terminal, become blanks; a character is never cut. Pads to `width` bytes. */
static void put(FILE *out, const char *s, size_t width, size_t most)
{
    size_t i = 0, n = strlen(s);
    for (; i < n && (i < most || (s[i] & 0xc0) == 0x80); i++) {
        unsigned char c = (unsigned char)s[i], next = (unsigned char)s[i + 1];
        bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
        fputc(c < ' ' || c == 127 || c1 ? ' ' : c, out);
        if (c1) {
            fputc(' ', out);
            i++;
        }
    }
    if (i < n)
        fputs("...", out);
    for (; i < width; i++)
        fputc(' ', out);
}

static void print_row(FILE *out, const char *name, const json_t *part)
{
    char parameters[32], bytes[32];
    const char *type, *separator = "  ";
    json_t *n;
    fprintf(out, "  %-16s %7.0f %11s %10s", *name ? name : "(other)", number(part, "tensors"),
            scaled(parameters, number(part, "parameters"), ""),
            scaled(bytes, number(part, "bytes"), "B"));
    json_object_foreach(json_object_get(part, "types"), type, n)
    {
        fputs(separator, out);
        put(out, type, 0, 40);
        if (json_object_size(json_object_get(part, "types")) > 1)
            fprintf(out, " (%.0f)", number(n, "tensors"));
        separator = ", ";
    }
    fputc('\n', out);
}

static void print_value(FILE *out, const char *key, const char *value)
{
    fputs("  ", out);
    put(out, key, 32, 100);
    fputc(' ', out);
    put(out, value, 0, 200);
    fputc('\n', out);
}

static void print_values(FILE *out, const char *title, json_t *o)
{
    const char *key;
    json_t *v;
    if (json_object_size(o))
        fprintf(out, "\n%s\n", title);
    json_object_foreach(o, key, v)
    {
        char *text = json_is_string(v)
                         ? NULL
                         : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        print_value(out, key, text ? text : json_string_value(v) ? json_string_value(v) : "");
        free(text);
    }
}

static void print_tensors(FILE *out, json_t *list)
{
    size_t i;
    json_t *t;
    if (list)
        fputs("\ntensors\n", out);
    json_array_foreach(list, i, t)
    {
        char *shape = json_dumps(json_object_get(t, "shape"), 0);
        fputs("  ", out);
        put(out, string(t, "name"), 80, 500);
        fputc(' ', out);
        put(out, string(t, "type"), 5, 40);
        fprintf(out, " %s\n", shape ? shape : "");
        free(shape);
    }
}

static void print_vocab(FILE *out, const json_t *root, const char *component)
{
    const json_t *v = json_object_get(root, component);
    if (v)
        fprintf(out, "  %-16s %.0f tokens, %.0f merges\n", component, number(v, "tokens"),
                number(v, "merges"));
}

/* The texts are long: --json has them. */
static void print_configs(FILE *out, json_t *configs)
{
    const char *name, *separator = "";
    json_t *v;
    if (json_object_size(configs))
        fprintf(out, "  %-16s ", "configuration");
    json_object_foreach(configs, name, v)
    {
        fprintf(out, "%s%s", separator, name);
        separator = ", ";
    }
    if (json_object_size(configs))
        fputc('\n', out);
}

static void print_model(FILE *out, const json_t *root)
{
    const char *name;
    json_t *part;
    put(out, string(root, "path"), 0, 4096);
    fputs("\n  ", out);
    put(out, string(root, "architecture"), 0, 200);
    fprintf(out, ", %s, %s\n", string(root, "layout"), string(root, "format"));
    if (json_object_get(root, "hash"))
        fprintf(out, "  hash %s\n", string(root, "hash"));
    fprintf(out, "\n  %-16s %7s %11s %10s  %s\n", "component", "tensors", "parameters", "size",
            "types");
    json_object_foreach(json_object_get(root, "components"), name, part)
    {
        print_row(out, name, part);
    }
    print_row(out, "total", json_object_get(root, "total"));
    print_vocab(out, root, "tokenizer");
    print_vocab(out, root, "tokenizer_2");
    print_configs(out, json_object_get(root, "config"));
    print_values(out, "lora", json_object_get(root, "lora"));
    print_values(out, "metadata", json_object_get(root, "metadata"));
    print_tensors(out, json_object_get(root, "tensors"));
}

static void print_picture(FILE *out, const json_t *root)
{
    json_t *recipe = json_object_get(root, "recipe");
    put(out, string(root, "path"), 0, 4096);
    fprintf(out, "\n  %.0f x %.0f pixels, %s\n", number(root, "width"), number(root, "height"),
            number(root, "channels") == 4 ? "RGBA" : "RGB");
    if (recipe)
        print_values(out, "recipe", recipe);
    else
        fputs("  no recipe inside\n", out);
    print_values(out, "text", json_object_get(root, "text"));
}

static void print_json(FILE *out, const json_t *root)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    fprintf(out, "%s\n", text ? text : "{}");
    free(text);
}

/* The first bytes tell pictures from models. */
static bool is_picture(const char *path)
{
    unsigned char head[64];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof(head), f) : 0;
    if (f)
        fclose(f);
    return n && picture_sniff(head, n);
}

static int check_finite(const struct checkpoint *c, struct err *e)
{
    const struct ckpt_tensor *t = checkpoint_find_nonfinite(c);
    if (!t)
        return 0;
    return err_set(e, ERR_NUMERIC,
                   "%s: tensor %s holds a NaN or an infinity; the file is damaged, download it "
                   "again",
                   t->file, t->file_name);
}

int inspect_run(const struct inspect_options *o, FILE *out, struct err *e)
{
    struct checkpoint *c = NULL;
    struct err local = {0};
    bool picture = is_picture(o->path);
    json_t *root = NULL;
    e = e ? e : &local;
    int rc = picture ? 0 : checkpoint_open(&c, o->path, e);
    if (!rc && o->check && c)
        rc = check_finite(c, e);
    if (!rc) {
        root = picture ? picture_json(o, e) : model_json(c, o, e);
        rc = root ? 0 : e->code;
    }
    if (!rc && o->json)
        print_json(out, root);
    else if (!rc && picture)
        print_picture(out, root);
    else if (!rc)
        print_model(out, root);
    json_decref(root);
    checkpoint_close(c);
    return rc;
}

int command_inspect(const struct options *o, struct err *e)
{
    const struct inspect_options wanted = {.path = o->operands[0],
                                           .json = o->value[OPTION_JSON].given,
                                           .tensors = o->value[OPTION_TENSORS].given,
                                           .hash = o->value[OPTION_HASH].given,
                                           .check = o->value[OPTION_CHECK].given};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return err_set(e, ERR_NOMEM, "not enough memory for the description");
    int rc = inspect_run(&wanted, out, e);
    if (fclose(out) != 0 && !rc)
        rc = err_set(e, ERR_NOMEM, "not enough memory for the description");
    if (!rc)
        rc = message_out(text, n, e);
    free(text);
    return rc;
}
