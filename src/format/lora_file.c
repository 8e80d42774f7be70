/* lora_file.c - see lora_file.h. */
#include "format/lora_file.h"

#include "base/err.h"
#include "base/mem.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- names ---- */

/* What may stand in front of a module's name, and the component that it means. The first that fits
 * counts; a name without any is of the UNet. */
static const struct {
    const char *from, *to;
} prefixes[] = {
    {"lora_unet_", "unet_"},
    {"lora_te1_", "text_encoder_"},
    {"lora_te2_", "text_encoder_2_"},
    {"lora_te_", "text_encoder_"},
    {"unet.", "unet_"},
    {"unet:", "unet:"},
    {"text_encoder.", "text_encoder_"},
    {"text_encoder:", "text_encoder:"},
    {"text_encoder_2.", "text_encoder_2_"},
    {"text_model.", "text_encoder_text_model_"},
    {"model.diffusion_model.", "unet_"},
    {"diffusion_model.", "unet_"},
    {"text_encoders.clip_l.transformer.", "text_encoder_"},
    {"text_encoders.clip_g.transformer.", "text_encoder_2_"},
    {"", "unet_"},
};

/* What ends the name of a part. */
static const struct {
    const char *end;
    enum lora_part part;
} ends[] = {
    {".lora_down.weight", LORA_DOWN},
    {".lora_up.weight", LORA_UP},
    {".lora_mid.weight", LORA_MID},
    {".alpha", LORA_ALPHA},
    {".lora_A.weight", LORA_DOWN},
    {".lora_B.weight", LORA_UP},
    {".lora_A.default.weight", LORA_DOWN},
    {".lora_B.default.weight", LORA_UP},
    {".lora.down.weight", LORA_DOWN},
    {".lora.up.weight", LORA_UP},
    {"_lora.down.weight", LORA_DOWN},
    {"_lora.up.weight", LORA_UP},
    {".lora_linear_layer.down.weight", LORA_DOWN},
    {".lora_linear_layer.up.weight", LORA_UP},
    {":down", LORA_DOWN},
    {":up", LORA_UP},
    {".dora_scale", LORA_MAGNITUDE},
    {".lora_magnitude_vector", LORA_MAGNITUDE},
    {".lora_magnitude_vector.weight", LORA_MAGNITUDE},
    {".hada_w1_a", LORA_HADA_W1_A},
    {".hada_w1_b", LORA_HADA_W1_B},
    {".hada_w2_a", LORA_HADA_W2_A},
    {".hada_w2_b", LORA_HADA_W2_B},
    {".hada_t1", LORA_HADA_T1},
    {".hada_t2", LORA_HADA_T2},
    {".lokr_w1", LORA_KRON_W1},
    {".lokr_w1_a", LORA_KRON_W1_A},
    {".lokr_w1_b", LORA_KRON_W1_B},
    {".lokr_w2", LORA_KRON_W2},
    {".lokr_w2_a", LORA_KRON_W2_A},
    {".lokr_w2_b", LORA_KRON_W2_B},
    {".lokr_t2", LORA_KRON_T2},
    {".diff", LORA_DIFF},
    {".diff_b", LORA_DIFF_B},
};

/* Names that older diffusers gave to modules, behind "self_attn" or another scope. */
static const struct {
    const char *from, *to;
} old_ends[] = {
    {"_self_attn_to_q", "_self_attn_q_proj"},
    {"_self_attn_to_k", "_self_attn_k_proj"},
    {"_self_attn_to_v", "_self_attn_v_proj"},
    {"_self_attn_to_out", "_self_attn_out_proj"},
    {"_to_out", "_to_out_0"},
};

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n >= m && memcmp(s + n - m, end, m) == 0;
}

bool lora_name_split(const char *tensor, char module[LORA_NAME_MAX], enum lora_part *part)
{
    static const char wrapper[] = "base_model.model.", processor[] = "_processor_";
    size_t i = 0, n, at;
    if (strncmp(tensor, wrapper, sizeof(wrapper) - 1) == 0)
        tensor += sizeof(wrapper) - 1;
    n = strlen(tensor);
    while (i < COUNT(ends) && !ends_with(tensor, n, ends[i].end))
        i++;
    if (i == COUNT(ends))
        return false;
    *part = ends[i].part;
    n -= strlen(ends[i].end);
    for (i = 0; strncmp(tensor, prefixes[i].from, strlen(prefixes[i].from)) != 0;)
        i++; /* the last one fits */
    at = strlen(prefixes[i].from);
    if (at >= n || n - at + sizeof("text_encoder_text_model_") + 8 > LORA_NAME_MAX)
        return false;
    snprintf(module, LORA_NAME_MAX, "%s%.*s", prefixes[i].to, (int)(n - at), tensor + at);
    for (char *p = module; *p; p++)
        *p = *p == '.' ? '_' : *p;
    char *inner = strstr(module, processor);
    if (inner)
        memmove(inner, inner + sizeof(processor) - 2, strlen(inner + sizeof(processor) - 2) + 1);
    for (i = 0; i < COUNT(old_ends); i++) {
        size_t length = strlen(module), end = strlen(old_ends[i].from);
        if (!ends_with(module, length, old_ends[i].from))
            continue;
        snprintf(module + length - end, LORA_NAME_MAX - length + end, "%s", old_ends[i].to);
        break;
    }
    return true;
}

/* ---- files ---- */

static struct lora_module *module_of(struct lora_file *f, const char *name)
{
    size_t i = (size_t)(uintptr_t)map_get_str(&f->by_name, name);
    if (i)
        return &f->modules[i - 1];
    struct lora_module *m = &f->modules[f->n_modules++];
    m->name = arena_strdup(&f->arena, name);
    map_put(&f->by_name, name, strlen(name), (void *)(uintptr_t)f->n_modules);
    return m;
}

static int add_tensor(struct lora_file *f, const struct file_tensor *t, struct err *e)
{
    char name[LORA_NAME_MAX];
    enum lora_part part;
    if (!lora_name_split(t->name, name, &part)) {
        f->others[f->n_others++] = t->name;
        return 0;
    }
    struct lora_module *m = module_of(f, name);
    if (m->part[part])
        return err_set(e, ERR_FORMAT, "tensors %s and %s are for the same place", t->name,
                       m->part[part]->name);
    m->part[part] = t;
    return 0;
}

int lora_file_read(struct lora_file *f, const struct file_tensor *tensors, size_t n,
                   const struct map *meta, struct err *e)
{
    int rc = 0;
    const char *text = meta ? map_get_str(meta, "lora_adapter_metadata") : NULL;
    f->meta = meta;
    f->diffusers = text ? json_loads(text, 0, NULL) : NULL;
    f->modules = mem_try_array(n + 1, sizeof(*f->modules), "the LoRA's modules", e);
    f->others = mem_try_array(n + 1, sizeof(*f->others), "the LoRA's tensors", e);
    if (!f->modules || !f->others)
        rc = ERR_NOMEM;
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_tensor(f, &tensors[i], e);
    if (!rc && f->n_modules == 0)
        rc = err_set(e, ERR_FORMAT,
                     "holds no LoRA: none of its %zu tensors is named as one%s%s; is it a model?",
                     n, n ? ", the first is " : "", n ? tensors[0].name : "");
    return rc;
}

int lora_file_open(struct lora_file *f, const char *path, struct err *e)
{
    *f = (struct lora_file){0};
    int rc = weights_open_file(&f->weights, path, e);
    if (!rc) {
        const struct weight_file *w = f->weights.files[0];
        size_t n;
        const struct file_tensor *t = weight_file_tensors(w, &n);
        rc = lora_file_read(f, t, n, &w->st.meta, e);
        if (rc)
            err_prefix(e, "%s", path);
    }
    if (rc)
        lora_file_close(f);
    return rc;
}

void lora_file_close(struct lora_file *f)
{
    map_release(&f->by_name);
    json_decref(f->diffusers);
    free(f->modules);
    free(f->others);
    weights_release(&f->weights);
    arena_release(&f->arena);
    *f = (struct lora_file){0};
}

const char *lora_file_path(const struct lora_file *f)
{
    return f->weights.n_files ? f->weights.files[0]->path : "the LoRA";
}

const char *lora_file_meta(const struct lora_file *f, const char *key)
{
    return f->meta ? map_get_str(f->meta, key) : NULL;
}

int lora_file_hash(const struct lora_file *f, char out[LORA_FILE_HASH], struct err *e)
{
    const char *said = lora_file_meta(f, "sshs_model_hash");
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (said && strspn(said, "0123456789abcdef") >= LORA_FILE_HASH - 1) {
        snprintf(out, LORA_FILE_HASH, "%s", said);
        return 0;
    }
    const struct weight_file *w = f->weights.files[0];
    size_t header = 0;
    if (!w->is_gguf && !w->is_pytorch) { /* the tensors fill the rest of a safetensors file */
        header = 8;
        for (int i = 0; i < 8; i++)
            header += (size_t)w->map.data[i] << 8 * i;
    }
    if (EVP_Digest(w->map.data + header, w->map.size - header, digest, NULL, EVP_sha256(), NULL) !=
        1)
        return err_set(e, ERR_INTERNAL, "SHA-256 failed in libcrypto");
    for (int i = 0; i < LORA_FILE_HASH / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

bool lora_file_scalar(const struct file_tensor *t, double *value)
{
    float x;
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16)
        return false;
    if (t->size != dtype_row_size(t->type, 1))
        return false;
    quant_to_f32(t->type, t->data, &x, 1);
    *value = (double)x;
    return isfinite(x);
}

/* ---- diffusers' metadata ---- */

/* {"up_blocks.1.attn1.to_q": 8}: the value whose name, with underscores, ends the module's. */
static const json_t *pattern_of(const json_t *patterns, const char *module)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)patterns, key, v)
    {
        size_t n = strlen(key), m = strlen(module), i = 0;
        while (n && n <= m && i < n && (key[i] == '.' ? '_' : key[i]) == module[m - n + i])
            i++;
        if (n && i == n)
            return v;
    }
    return NULL;
}

double lora_file_alpha(const struct lora_file *f, const struct lora_module *m, int64_t rank)
{
    const json_t *root = f->diffusers;
    const char *component = "unet";
    double alpha = (double)rank;
    char key[64];
    if (strncmp(m->name, "text_encoder", 12) == 0)
        component = strncmp(m->name, "text_encoder_2", 14) == 0 ? "text_encoder_2" : "text_encoder";
    snprintf(key, sizeof(key), "%s.alpha_pattern", component);
    const json_t *v = pattern_of(json_object_get(root, key), m->name);
    snprintf(key, sizeof(key), "%s.lora_alpha", component);
    v = v ? v : json_object_get(root, key);
    if (json_is_number(v)) {
        alpha = json_number_value(v);
        snprintf(key, sizeof(key), "%s.use_rslora", component);
        if (json_is_true(json_object_get(root, key)))
            alpha *= sqrt((double)rank); /* peft scales by alpha / sqrt(rank) there */
    }
    return alpha;
}
