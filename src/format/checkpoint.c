/* checkpoint.c - see checkpoint.h. Opening has three steps: find and map the files (weights.h),
 * decide which naming scheme they use, list every tensor under its canonical name.
 */
#include "format/checkpoint.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "format/vocab_file.h"
#include "format/esrgan_names.h"
#include "format/json.h"
#include "format/language_names.h"
#include "format/ldm_names.h"
#include "format/weights.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG     ((size_t)16 << 20)
#define MAX_COMPONENTS 32

/* Another checkpoint that gives a component. */
struct part {
    struct checkpoint *file; /* owned */
    char *to;                /* owned: "vae." */
    struct part *next;
};

struct checkpoint {
    struct arena arena; /* names, configuration texts */
    char *path;         /* owned */
    enum ckpt_layout layout;
    struct weights weights;
    const char **component; /* of each file, or NULL: its names tell; owned array */
    struct ckpt_tensor *tensors;
    size_t n;
    struct map by_name;   /* -> struct ckpt_tensor */
    struct map configs;   /* component -> text */
    struct map meta;      /* key -> text */
    const char *language; /* architecture of a language model, or NULL */
    struct vocab_file vocab[2];
    struct part *parts; /* owned; attached, the last one first */
    char hash[11];      /* "" until asked for */
    atomic_bool hash_stopped;
};

void checkpoint_close(struct checkpoint *c)
{
    if (!c)
        return;
    while (c->parts) {
        struct part *next = c->parts->next;
        checkpoint_close(c->parts->file);
        free(c->parts->to);
        free(c->parts);
        c->parts = next;
    }
    vocab_file_release(&c->vocab[0]);
    vocab_file_release(&c->vocab[1]);
    map_release(&c->by_name);
    map_release(&c->configs);
    map_release(&c->meta);
    weights_release(&c->weights);
    arena_release(&c->arena);
    free(c->component);
    free(c->tensors);
    free(c->path);
    free(c);
}

/* How a file without a component names its tensors. */
enum scheme { CANONICAL, COMPONENT, LDM, TAESD, ESRGAN, LANGUAGE, FOREIGN };

static const struct marker {
    const char *name;
    enum { PREFIX, WHOLE } match;
    enum scheme scheme;
    const char *prefix; /* put in front of every name */
} markers[] = {
    {"unet.", PREFIX, CANONICAL, ""},
    {"vae.", PREFIX, CANONICAL, ""},
    {"text_encoder.", PREFIX, CANONICAL, ""},
    {"text_encoder_2.", PREFIX, CANONICAL, ""},
    {"controlnet.", PREFIX, CANONICAL, ""},
    {"upscaler.", PREFIX, CANONICAL, ""},
    {"controlnet_", PREFIX, COMPONENT, "controlnet."}, /* before down_blocks, which it has too */
    {"zero_convs.", PREFIX, LDM, "control_model."},
    {"image_encoder.", PREFIX, CANONICAL, ""},
    {"image_proj.", PREFIX, COMPONENT, "ip_adapter."},
    {"vision_model.", PREFIX, COMPONENT, "image_encoder."},
    {"input_blocks.", PREFIX, LDM, "model.diffusion_model."},
    {"encoder.down.", PREFIX, LDM, "first_stage_model."},
    {"decoder.up.", PREFIX, LDM, "first_stage_model."},
    {"down_blocks.", PREFIX, COMPONENT, "unet."},
    {"encoder.down_blocks.", PREFIX, COMPONENT, "vae."},
    {"decoder.up_blocks.", PREFIX, COMPONENT, "vae."},
    {"encoder.layers.0.weight", WHOLE, COMPONENT, "vae."},
    {"decoder.layers.0.weight", WHOLE, COMPONENT, "vae."},
    {"text_model.", PREFIX, COMPONENT, "text_encoder."},
    {"transformer.resblocks.", PREFIX, LDM, "conditioner.embedders.1.model."}, /* OpenCLIP */
    {"encoder.layers.0.self_attn.", PREFIX, COMPONENT, "text_encoder."},
    {"encoder.0.weight", WHOLE, TAESD, ""},
    {"decoder.1.weight", WHOLE, TAESD, ""},
    {"0.weight", WHOLE, TAESD, "encoder."}, /* the encoder alone: the decoder has no layer 0 */
    {"1.weight", WHOLE, TAESD, "decoder."},
    {"body.0.weight", WHOLE, COMPONENT, "upscaler."}, /* Real-ESRGAN's compact networks */
    {"body.0.rdb1.conv1.weight", WHOLE, COMPONENT, "upscaler."},
    {"RRDB_trunk.", PREFIX, ESRGAN, "upscaler."},
    {"model.1.sub.", PREFIX, ESRGAN, "upscaler."},
};
static const struct marker ldm_marker = {"", PREFIX, LDM, ""};
static const struct marker language_marker = {"", PREFIX, LANGUAGE, ""};
static const struct marker foreign_marker = {"", PREFIX, FOREIGN, ""};

#define N_MARKERS (sizeof(markers) / sizeof(markers[0]))

/* The first marker of the table that any name fits. */
static const struct marker *find_marker(const struct checkpoint *c)
{
    size_t best = N_MARKERS;
    if (c->language)
        return &language_marker;
    for (size_t i = 0; i < c->weights.n_files; i++) {
        size_t n;
        const struct file_tensor *t = weight_file_tensors(c->weights.files[i], &n);
        for (size_t j = 0; j < n; j++) {
            if (ldm_names_match(t[j].name))
                return &ldm_marker;
            for (size_t k = 0; k < best; k++)
                if (markers[k].match == WHOLE
                        ? strcmp(t[j].name, markers[k].name) == 0
                        : strncmp(t[j].name, markers[k].name, strlen(markers[k].name)) == 0)
                    best = k;
        }
    }
    return best < N_MARKERS ? &markers[best] : &foreign_marker;
}

/* One tensor under its canonical name: all of it, or the given third of its rows. */
enum { ALL_ROWS = -1 };
static int add_tensor(struct checkpoint *c, const struct weight_file *f,
                      const struct file_tensor *t, const char *name, int third, struct err *e)
{
    size_t size = third == ALL_ROWS ? t->size : t->size / 3;
    struct ckpt_tensor *out = &c->tensors[c->n];
    *out = (struct ckpt_tensor){
        .name = arena_strdup(&c->arena, name),
        .file_name = t->name,
        .file = f->path,
        .type = t->type,
        .type_name = t->type_name,
        .n_dim = t->n_dim,
        .data = third == ALL_ROWS ? t->data : t->data + size * (size_t)third,
        .size = size,
    };
    if (t->n_dim > CKPT_MAX_DIM) {
        out->type = DTYPE_OTHER;
        out->type_name = arena_printf(&c->arena, "%s with %d dimensions", t->type_name, t->n_dim);
        out->n_dim = CKPT_MAX_DIM;
    }
    for (int i = 0; i < out->n_dim; i++)
        out->dim[i] = t->dim[i];
    if (third != ALL_ROWS)
        out->dim[0] /= 3;
    const struct ckpt_tensor *other = map_put(&c->by_name, name, strlen(name), out);
    if (other)
        return err_set(e, ERR_FORMAT, "%s: tensors %s (%s) and %s are both %s", f->path,
                       other->file_name, other->file, t->name, name);
    c->n++;
    return 0;
}

/* q, k and v stacked by rows become three views. */
static int add_qkv(struct checkpoint *c, const struct weight_file *f, const struct file_tensor *t,
                   char *name, struct err *e)
{
    char *letter = strchr(name, '?');
    int64_t row = t->n_dim > 1 ? t->dim[t->n_dim - 1] : t->n_dim ? t->dim[0] / 3 : 0;
    if (!t->n_dim || t->dim[0] % 3 || t->size % 3 || row % dtype_block(t->type))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: its rows cannot be divided into q, k and v",
                       f->path, t->name);
    int rc = 0;
    for (int i = 0; !rc && i < 3; i++) {
        *letter = "qkv"[i];
        rc = add_tensor(c, f, t, name, i, e);
    }
    return rc;
}

static int add_ldm(struct checkpoint *c, const struct weight_file *f, const struct file_tensor *t,
                   const char *prefix, const struct ldm_names *l, struct err *e)
{
    char name[LDM_NAME_MAX];
    char *full = mem_printf("%s%s", prefix, t->name);
    enum ldm_kind kind = ldm_names_map(l, full, name);
    free(full);
    int rc = 0;
    switch (kind) {
    case LDM_IGNORED:
        break;
    case LDM_UNKNOWN:
        rc = add_tensor(c, f, t, t->name, ALL_ROWS, e);
        break;
    case LDM_QKV:
        rc = add_qkv(c, f, t, name, e);
        break;
    case LDM_PLAIN:
    case LDM_TRANSPOSED:
        rc = add_tensor(c, f, t, name, ALL_ROWS, e);
        if (!rc && kind == LDM_TRANSPOSED && t->n_dim == 2) {
            struct ckpt_tensor *out = &c->tensors[c->n - 1];
            out->dim[0] = t->dim[1];
            out->dim[1] = t->dim[0];
            out->transposed = true;
        }
    }
    return rc;
}

/* transformers writes CLIP with and without its outer module's name. */
static bool lacks_text_model(const char *component, const char *name)
{
    return strncmp(component, "text_encoder", 12) == 0 &&
           (strncmp(name, "embeddings.", 11) == 0 || strncmp(name, "encoder.layers.", 15) == 0 ||
            strncmp(name, "final_layer_norm.", 17) == 0);
}

/* A tensor with diffusers' names; prefix is "unet." or "" when the name has it already. */
static int add_diffusers(struct checkpoint *c, const struct weight_file *f,
                         const struct file_tensor *t, const char *prefix, struct err *e)
{
    char today[LDM_NAME_MAX];
    if (strstr(t->name, "position_ids"))
        return 0; /* a constant, not a weight */
    char *name = mem_printf("%s%s%s", prefix,
                            lacks_text_model(prefix, t->name) ? "text_model." : "", t->name);
    int rc = add_tensor(c, f, t, ldm_names_map_old_vae(name, today) ? today : name, ALL_ROWS, e);
    free(name);
    return rc;
}

/* GGUF files have the names already. */
static int add_language(struct checkpoint *c, const struct weight_file *f,
                        const struct file_tensor *t, struct err *e)
{
    char name[LANGUAGE_NAME_MAX];
    enum language_kind_of_name kind = f->is_gguf ? LANGUAGE_UNKNOWN
                                                 : language_names_map(c->language, t->name, name);
    int rc = add_tensor(c, f, t, kind == LANGUAGE_UNKNOWN ? t->name : name, ALL_ROWS, e);
    if (!rc && kind == LANGUAGE_TRANSPOSED && t->n_dim >= 2 && t->n_dim <= CKPT_MAX_DIM) {
        struct ckpt_tensor *out = &c->tensors[c->n - 1];
        out->dim[t->n_dim - 2] = t->dim[t->n_dim - 1];
        out->dim[t->n_dim - 1] = t->dim[t->n_dim - 2];
        out->transposed = true;
    }
    return rc;
}

static int add_taesd(struct checkpoint *c, const struct weight_file *f, const struct file_tensor *t,
                     const char *prefix, struct err *e)
{
    char name[LDM_NAME_MAX];
    const char *side = *prefix ? prefix : t->name, *rest = t->name;
    bool decoder = strncmp(side, "decoder.", 8) == 0;
    if (!*prefix && (decoder || strncmp(side, "encoder.", 8) == 0))
        rest += 8;
    bool known = ldm_names_map_taesd(decoder, rest, name);
    return add_tensor(c, f, t, known ? name : t->name, ALL_ROWS, e);
}

/* The highest number of a layer in ESRGAN's original names. */
static int last_esrgan_layer(const struct file_tensor *t, size_t n)
{
    int last = -1;
    for (size_t i = 0; i < n; i++) {
        int layer = esrgan_names_layer(t[i].name);
        last = layer > last ? layer : last;
    }
    return last;
}

static int add_esrgan(struct checkpoint *c, const struct weight_file *f,
                      const struct file_tensor *t, const char *prefix, int last, struct err *e)
{
    char today[ESRGAN_NAME_MAX];
    bool known = esrgan_names_map(last, t->name, today);
    char *name = mem_printf("%s%s", known ? prefix : "", known ? today : t->name);
    int rc = add_tensor(c, f, t, name, ALL_ROWS, e);
    free(name);
    return rc;
}

static int add_file(struct checkpoint *c, size_t i, const struct marker *m,
                    const struct ldm_names *l, struct err *e)
{
    const struct weight_file *f = c->weights.files[i];
    size_t n;
    const struct file_tensor *t = weight_file_tensors(f, &n);
    char *prefix = c->component[i] ? mem_printf("%s.", c->component[i]) : mem_strdup(m->prefix);
    enum scheme scheme = c->component[i] ? COMPONENT : m->scheme;
    int rc = 0, last_esrgan = scheme == ESRGAN ? last_esrgan_layer(t, n) : 0;
    for (size_t j = 0; !rc && j < n; j++) {
        if (scheme == LDM)
            rc = add_ldm(c, f, &t[j], prefix, l, e);
        else if (scheme == TAESD)
            rc = add_taesd(c, f, &t[j], prefix, e);
        else if (scheme == ESRGAN)
            rc = add_esrgan(c, f, &t[j], prefix, last_esrgan, e);
        else if (scheme == LANGUAGE)
            rc = add_language(c, f, &t[j], e);
        else if (scheme == FOREIGN)
            rc = add_tensor(c, f, &t[j], t[j].name, ALL_ROWS, e);
        else
            rc = add_diffusers(c, f, &t[j], prefix, e);
    }
    free(prefix);
    return rc;
}

/* The structure of the UNet and the VAE from all names. */
static void scan_ldm(const struct checkpoint *c, const char *prefix, struct ldm_names *l)
{
    ldm_names_init(l);
    for (size_t i = 0; i < c->weights.n_files; i++) {
        size_t n;
        const struct file_tensor *t = weight_file_tensors(c->weights.files[i], &n);
        for (size_t j = 0; j < n; j++) {
            char *full = mem_printf("%s%s", prefix, t[j].name);
            ldm_names_scan(l, full);
            free(full);
        }
    }
    ldm_names_finish(l);
}

static void list_meta(struct checkpoint *c)
{
    for (size_t i = c->weights.n_files; i-- > 0;) { /* the first file wins */
        const struct weight_file *f = c->weights.files[i];
        for (size_t j = 0; f->is_gguf && j < f->gguf.n_values; j++) {
            const struct gguf_value *v = &f->gguf.values[j];
            if (v->text)
                map_put(&c->meta, v->key, strlen(v->key), (void *)(uintptr_t)v->text);
        }
        for (size_t j = 0; !f->is_gguf && j < f->st.meta.cap; j++) {
            const struct map_slot *s = &f->st.meta.slots[j];
            if (s->key)
                map_put(&c->meta, s->key, s->len, s->value);
        }
    }
}

/* Files that Lar converted carry the configurations as metadata. */
static void list_configs(struct checkpoint *c)
{
    static const char prefix[] = "lar.config.";
    for (size_t i = 0; i < c->meta.cap; i++) {
        const struct map_slot *s = &c->meta.slots[i];
        if (!s->key)
            continue;
        if (strncmp(s->key, prefix, strlen(prefix)) == 0)
            map_put(&c->configs, s->key + strlen(prefix), s->len - strlen(prefix), s->value);
        else if (strcmp(s->key, "lar.model_index") == 0)
            map_put(&c->configs, "model_index", strlen("model_index"), s->value);
    }
}

static int list_tensors(struct checkpoint *c, struct err *e)
{
    const struct marker *m = find_marker(c);
    struct ldm_names *l = NULL;
    size_t total = 0;
    int rc = 0;
    for (size_t i = 0; i < c->weights.n_files; i++) {
        size_t n;
        weight_file_tensors(c->weights.files[i], &n);
        total += 3 * n; /* a tensor is at most q, k and v */
    }
    c->tensors = mem_try_array(total, sizeof(*c->tensors), "the list of tensors", e);
    if (!c->tensors)
        return ERR_NOMEM;
    if (m->scheme == LDM) {
        l = mem_alloc(sizeof(*l));
        scan_ldm(c, m->prefix, l);
    }
    for (size_t i = 0; !rc && i < c->weights.n_files; i++)
        rc = add_file(c, i, m, l, e);
    free(l);
    c->layout = c->component[0]         ? CKPT_DIFFUSERS
                : m->scheme == LDM      ? CKPT_LDM
                : m->scheme == TAESD    ? CKPT_TAESD
                : m->scheme == LANGUAGE ? CKPT_LANGUAGE
                : m->scheme == FOREIGN  ? CKPT_OTHER
                                        : CKPT_DIFFUSERS;
    return rc;
}

/* The files opened since `first` belong to a component (NULL: unknown). */
static void set_component(struct checkpoint *c, size_t first, const char *component)
{
    c->component = mem_realloc(c->component, (c->weights.n_files + 1) * sizeof(*c->component));
    for (size_t i = first; i < c->weights.n_files; i++)
        c->component[i] = component;
}

/* Reads dir/file as the configuration of a component; absent is fine. */
static int read_config(struct checkpoint *c, const char *component, const char *dir,
                       const char *file, struct err *e)
{
    char *path = file_join(dir, file), *text = NULL;
    struct json_doc d = {0};
    size_t n;
    int rc = 0;
    if (file_exists(path)) {
        rc = file_read(path, MAX_CONFIG, &text, &n, e);
        rc = rc ? rc : json_doc_parse(&d, path, text, n, e);
        if (!rc && !json_is_object(d.root))
            rc = err_set(e, ERR_FORMAT, "%s: not a JSON object", path);
        if (!rc)
            map_put(&c->configs, component, strlen(component), arena_strndup(&c->arena, text, n));
    }
    json_doc_release(&d);
    free(text);
    free(path);
    return rc;
}

static bool is_one_of(const char *s, const char *const *list)
{
    while (*list && strcmp(s, *list) != 0)
        list++;
    return *list != NULL;
}

static int open_component(struct checkpoint *c, const char *dir, const char *component,
                          struct err *e)
{
    size_t first = c->weights.n_files;
    if (!file_is_dir(dir))
        return err_set(e, ERR_NOT_FOUND,
                       "%s: the folder of the component %s, which model_index.json names, is "
                       "missing",
                       dir, component);
    int rc = read_config(c, component, dir, "config.json", e);
    if (!rc)
        rc = weights_open_folder(&c->weights, dir, e);
    set_component(c, first, component);
    return rc;
}

/* One entry of model_index.json. */
static int open_entry(struct checkpoint *c, const char *name, struct err *e)
{
    static const char *const unused[] = {"safety_checker", "feature_extractor", "image_encoder",
                                         "image_processor", NULL};
    char *dir = file_join(c->path, name);
    int rc = 0;
    if (strcmp(name, "tokenizer") == 0)
        rc = vocab_file_read_folder(&c->vocab[0], dir, e);
    else if (strcmp(name, "tokenizer_2") == 0)
        rc = vocab_file_read_folder(&c->vocab[1], dir, e);
    else if (strcmp(name, "scheduler") == 0)
        rc = read_config(c, name, dir, "scheduler_config.json", e);
    else if (!is_one_of(name, unused))
        rc = open_component(c, dir, name, e);
    free(dir);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The components of model_index.json: members `name: [library, class]`, sorted by name. */
static int list_entries(struct checkpoint *c, const struct json_doc *d, const char **names,
                        size_t *n, struct err *e)
{
    const char *key;
    json_t *v;
    *n = 0;
    json_object_foreach(d->root, key, v)
    {
        if (*key == '_' || json_array_size(v) != 2 || !json_is_string(json_array_get(v, 1)))
            continue;
        if (*n == MAX_COMPONENTS || strchr(key, '/') || *key == '.' || !*key)
            return err_set(e, ERR_FORMAT, "%s: \"%.64s\" cannot be a component", d->name, key);
        names[(*n)++] = arena_strdup(&c->arena, key);
    }
    if (!*n)
        return err_set(e, ERR_FORMAT, "%s: names no component", d->name);
    qsort(names, *n, sizeof(*names), by_name);
    return 0;
}

static int open_pipeline(struct checkpoint *c, struct err *e)
{
    const char *names[MAX_COMPONENTS];
    struct json_doc d = {0};
    size_t n = 0;
    int rc = read_config(c, "model_index", c->path, "model_index.json", e);
    const char *text = checkpoint_config(c, "model_index");
    char *path = file_join(c->path, "model_index.json");
    if (!rc)
        rc = json_doc_parse(&d, path, text, strlen(text), e);
    if (!rc)
        rc = list_entries(c, &d, names, &n, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = open_entry(c, names[i], e);
    if (!rc && !c->weights.n_files)
        rc = err_set(e, ERR_NOT_FOUND, "%s: none of its components has weights", path);
    json_doc_release(&d);
    free(path);
    return rc;
}

/* The last part of a path, when it is the name of a component whose folder it can be. */
static const char *component_of_path(struct checkpoint *c)
{
    static const char *const known[] = {
        "unet", "vae", "text_encoder", "text_encoder_2", "controlnet", "image_encoder", NULL};
    size_t n;
    const char *base = file_base(c->path, &n);
    base = arena_strndup(&c->arena, base, n);
    return is_one_of(base, known) ? base : NULL;
}

/* The architecture of a folder that holds a language model, by the model_type of its
 * configuration. */
static const char *language_of_config(const char *text)
{
    json_error_t at;
    json_t *root = text ? json_loads(text, 0, &at) : NULL;
    const json_t *inner = json_object_get(root, "text_config"); /* of models that also see */
    const char *type = json_string_value(json_object_get(inner ? inner : root, "model_type"));
    const char *arch = type ? language_names_arch(type) : NULL;
    json_decref(root);
    return arch;
}

/* A GGUF file with llama.cpp's names: what it says it is, known or not. */
static const char *language_of_gguf(const struct weight_file *f)
{
    size_t n;
    const struct file_tensor *t = weight_file_tensors(f, &n);
    for (size_t i = 0; f->is_gguf && i < n; i++)
        if (strcmp(t[i].name, "token_embd.weight") == 0)
            return gguf_str(&f->gguf, "general.architecture");
    return NULL;
}

/* A folder with one component, named by its own name or by the tensors in it. */
static int open_single_folder(struct checkpoint *c, struct err *e)
{
    int rc = weights_open_folder(&c->weights, c->path, e);
    if (rc)
        return rc;
    set_component(c, 0, NULL);
    const struct marker *m = find_marker(c);
    const char *component = NULL;
    if (m->scheme == FOREIGN && !c->weights.files[0]->is_gguf) {
        rc = read_config(c, "", c->path, "config.json", e);
        c->language = language_of_config(checkpoint_config(c, ""));
    }
    if (m->scheme == COMPONENT) {
        component = component_of_path(c);
        if (!component)
            component = arena_strndup(&c->arena, m->prefix, strlen(m->prefix) - 1);
        set_component(c, 0, component);
    }
    return component ? read_config(c, component, c->path, "config.json", e) : rc;
}

static bool is_index(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".json") == 0 && strstr(path, ".index");
}

/* The folder of a path that names its model_index.json. */
static void strip_index_name(char *path)
{
    size_t n = strlen(path), m = strlen("/model_index.json");
    if (n > m && strcmp(path + n - m, "/model_index.json") == 0)
        path[n - m] = 0;
}

static int open_files(struct checkpoint *c, struct err *e)
{
    strip_index_name(c->path);
    char *index = file_join(c->path, "model_index.json");
    bool pipeline = file_exists(index);
    free(index);
    if (pipeline)
        return open_pipeline(c, e);
    if (file_is_dir(c->path))
        return open_single_folder(c, e);
    int rc = is_index(c->path) ? weights_open_index(&c->weights, c->path, e)
                               : weights_open_file(&c->weights, c->path, e);
    set_component(c, 0, NULL);
    return rc;
}

/* A single file has one vocabulary for both encoders; only the padding may differ. */
static int read_file_vocab(struct checkpoint *c, struct err *e)
{
    static const char *const pad_keys[2][2] = {{"pad", NULL},
                                               {"pad_2", "lar.tokenizer_2.padding_token_id"}};
    const struct weight_file *f = c->weights.files[0];
    const char *text = f->is_gguf ? NULL : map_get_str(&f->st.meta, CLIP_VOCAB_META);
    int rc = 0;
    for (int i = 0; !rc && i < 2; i++) {
        if (f->is_gguf)
            rc = vocab_file_read_gguf(&c->vocab[i], &f->gguf, pad_keys[i][1], e);
        else if (text)
            rc = vocab_file_read_text(&c->vocab[i], text, pad_keys[i][0], e);
    }
    if (rc)
        err_prefix(e, "%s", f->path);
    return rc;
}

int checkpoint_open(struct checkpoint **out, const char *path, struct err *e)
{
    struct checkpoint *c = mem_alloc(sizeof(*c));
    c->path = mem_strdup(path);
    *out = NULL;
    int rc = open_files(c, e);
    if (!rc && !c->weights.n_files)
        rc = err_set(e, ERR_FORMAT, "%s: names no weight files", path);
    if (!rc && !c->language)
        c->language = language_of_gguf(c->weights.files[0]);
    if (!rc)
        rc = list_tensors(c, e);
    if (!rc && !c->n)
        rc = err_set(e, ERR_FORMAT, "%s: holds no tensors", path);
    if (!rc)
        rc = read_file_vocab(c, e);
    if (rc) {
        checkpoint_close(c);
        return rc;
    }
    list_meta(c);
    list_configs(c);
    *out = c;
    return 0;
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The tensors of `c` without those that begin with `to`, then those of the part. */
static int merge_tensors(struct checkpoint *c, const struct checkpoint *part, const char *from,
                         const char *to, struct err *e)
{
    struct map by_name = {0};
    size_t n = 0;
    struct ckpt_tensor *all = mem_try_array(c->n + part->n, sizeof(*all), "the list of tensors", e);
    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->n; i++)
        if (!begins(c->tensors[i].name, to))
            all[n++] = c->tensors[i];
    size_t kept = n;
    for (size_t i = 0; i < part->n; i++)
        if (begins(part->tensors[i].name, from)) {
            all[n] = part->tensors[i];
            all[n++].name = arena_printf(&c->arena, "%s%s", to,
                                         part->tensors[i].name + strlen(from));
        }
    if (n == kept) {
        free(all);
        return err_set(e, ERR_NOT_FOUND, "%s: holds no tensors %s...", part->path, from);
    }
    for (size_t i = 0; i < n; i++)
        map_put(&by_name, all[i].name, strlen(all[i].name), &all[i]);
    map_release(&c->by_name);
    free(c->tensors);
    c->by_name = by_name;
    c->tensors = all;
    c->n = n;
    return 0;
}

int checkpoint_attach(struct checkpoint *c, struct checkpoint *part, const char *from,
                      const char *to, struct err *e)
{
    int rc = merge_tensors(c, part, from, to, e);
    if (rc) {
        checkpoint_close(part);
        return rc;
    }
    struct part *p = mem_alloc(sizeof(*p));
    *p = (struct part){part, mem_strdup(to), c->parts};
    c->parts = p;
    char *config = mem_strndup(from, strcspn(from, "."));
    map_put(&c->configs, to, strcspn(to, "."), (void *)(uintptr_t)checkpoint_config(part, config));
    free(config);
    return 0;
}

const struct ckpt_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    return map_get_str(&c->by_name, name);
}

size_t checkpoint_n(const struct checkpoint *c)
{
    return c->n;
}

const struct ckpt_tensor *checkpoint_at(const struct checkpoint *c, size_t i)
{
    return i < c->n ? &c->tensors[i] : NULL;
}

const char *checkpoint_path(const struct checkpoint *c)
{
    return c->path;
}

enum ckpt_layout checkpoint_layout(const struct checkpoint *c)
{
    return c->layout;
}

const char *checkpoint_config(const struct checkpoint *c, const char *component)
{
    return map_get_str(&c->configs, component);
}

const char *checkpoint_language(const struct checkpoint *c)
{
    return c->language;
}

bool checkpoint_is_huggingface(const struct checkpoint *c)
{
    return c->language && !c->weights.files[0]->is_gguf;
}

const char *checkpoint_meta(const struct checkpoint *c, const char *key)
{
    return map_get_str(&c->meta, key);
}

const struct weights *checkpoint_weights(const struct checkpoint *c)
{
    return &c->weights;
}

const struct ckpt_vocab *checkpoint_vocab(const struct checkpoint *c, const char *component)
{
    int i = strcmp(component, "tokenizer_2") == 0;
    if (!i && strcmp(component, "tokenizer") != 0)
        return NULL;
    for (const struct part *p = c->parts; p; p = p->next)
        if (strcmp(p->to, i ? "text_encoder_2." : "text_encoder.") == 0 && p->file->vocab[0].tokens)
            return &p->file->vocab[0].vocab;
    return c->vocab[i].tokens ? &c->vocab[i].vocab : NULL;
}

static uint16_t load16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static bool blocks_are_finite(const struct ckpt_tensor *t)
{
    float x[256];
    int block = dtype_block(t->type);
    size_t bytes = dtype_row_size(t->type, block);
    for (size_t at = 0; at + bytes <= t->size; at += bytes) {
        quant_to_f32(t->type, (const unsigned char *)t->data + at, x, block);
        for (int i = 0; i < block; i++)
            if (!isfinite(x[i]))
                return false;
    }
    return true;
}

/* All exponent bits set: infinity or NaN. */
static bool is_finite(const struct ckpt_tensor *t)
{
    const unsigned char *p = t->data;
    bool bad = false;
    switch (t->type) {
    case DTYPE_F32:
        for (size_t i = 2; i < t->size && !bad; i += 4)
            bad = (load16(p + i) & 0x7f80) == 0x7f80;
        break;
    case DTYPE_BF16:
        for (size_t i = 0; i < t->size && !bad; i += 2)
            bad = (load16(p + i) & 0x7f80) == 0x7f80;
        break;
    case DTYPE_F16:
        for (size_t i = 0; i < t->size && !bad; i += 2)
            bad = (load16(p + i) & 0x7c00) == 0x7c00;
        break;
    case DTYPE_I32:
    case DTYPE_OTHER:
        break;
    default:
        bad = !blocks_are_finite(t);
    }
    return !bad;
}

const struct ckpt_tensor *checkpoint_find_nonfinite(const struct checkpoint *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!is_finite(&c->tensors[i]))
            return &c->tensors[i];
    return NULL;
}

#define SHA256_SIZE 32

/* In pieces, between which the hash can be stopped. */
static int sha256(const struct checkpoint *c, const unsigned char *data, size_t n,
                  unsigned char out[SHA256_SIZE], struct err *e)
{
    const size_t piece = (size_t)4 << 20;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    size_t done = 0;
    while (fine && done < n && !atomic_load(&c->hash_stopped)) {
        size_t m = n - done < piece ? n - done : piece;
        fine = EVP_DigestUpdate(ctx, data + done, m) == 1;
        done += m;
    }
    fine = fine && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    if (!fine)
        return err_set(e, ERR_INTERNAL, "SHA-256 failed in libcrypto");
    return done == n ? 0 : err_set(e, ERR_CANCELLED, "%s: hashing was stopped", c->path);
}

void checkpoint_hash_stop(struct checkpoint *c)
{
    atomic_store(&c->hash_stopped, true);
}

int checkpoint_hash(struct checkpoint *c, char out[11], struct err *e)
{
    size_t n = c->weights.n_files;
    unsigned char digest[SHA256_SIZE];
    int rc = 0;
    if (!c->hash[0]) {
        unsigned char *all = mem_alloc(n * SHA256_SIZE);
        for (size_t i = 0; !rc && i < n; i++) {
            const struct file_map *m = &c->weights.files[i]->map;
            rc = sha256(c, m->data, m->size, all + i * SHA256_SIZE, e);
        }
        if (!rc && n > 1)
            rc = sha256(c, all, n * SHA256_SIZE, digest, e);
        else
            memcpy(digest, all, SHA256_SIZE);
        free(all);
        if (rc)
            return rc;
        for (int i = 0; i < 5; i++)
            snprintf(c->hash + 2 * i, 3, "%02x", digest[i]);
    }
    memcpy(out, c->hash, sizeof(c->hash));
    return 0;
}
