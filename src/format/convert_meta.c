/* convert_meta.c - see convert_meta.h. */
#include "format/convert_meta.h"

#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/language_gguf.h"
#include "format/mix.h"
#include "format/vocab_file.h"
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>

#define QUANTIZATION_VERSION 2 /* of ggml's blocks */

static const char *const config_names[] = {"scheduler",   "text_encoder", "text_encoder_2",
                                           "transformer", "unet",         "vae"};

#define N_CONFIGS (sizeof(config_names) / sizeof(config_names[0]))

/* Metadata that a conversion writes itself, or that describes the old file's layout. */
static bool is_replaced(const char *key)
{
    static const char *const keys[] = {"general.architecture",
                                       "general.name",
                                       "general.alignment",
                                       "general.file_type",
                                       "general.quantization_version",
                                       "format",
                                       "lar.model_index",
                                       CLIP_VOCAB_META,
                                       "lar.tokenizer_2.padding_token_id"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, GGUF_SHAPE_KEY, strlen(GGUF_SHAPE_KEY)) == 0 ||
           strncmp(key, "split.", 6) == 0 || strncmp(key, "lar.config.", 11) == 0 ||
           strncmp(key, "tokenizer.ggml.", 15) == 0;
}

static const char *architecture(const struct checkpoint *c)
{
    static const char *const names[] = {[CKPT_DIFFUSERS] = "diffusers",
                                        [CKPT_LDM] = "ldm",
                                        [CKPT_TAESD] = "taesd",
                                        [CKPT_OTHER] = "unknown"};
    const char *old = checkpoint_meta(c, "general.architecture");
    if (checkpoint_language(c))
        return checkpoint_language(c);
    return old && checkpoint_layout(c) == CKPT_OTHER ? old : names[checkpoint_layout(c)];
}

/* The file's or folder's name without its ending; heap. */
static char *model_name(const struct checkpoint *c)
{
    const char *old = checkpoint_meta(c, "general.name");
    if (old)
        return mem_strdup(old);
    const char *path = checkpoint_path(c);
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    char *name = mem_strndup(path + begin, end - begin), *dot = strrchr(name, '.');
    if (dot && dot != name && !file_is_dir(path))
        *dot = 0;
    return name;
}

/* The tokenizer's keys; a GGUF file whose tokenizer is not CLIP's keeps its own. */
static void put_vocab(struct gguf_writer *w, const struct checkpoint *c)
{
    const struct ckpt_vocab *v = checkpoint_vocab(c, "tokenizer");
    const struct ckpt_vocab *second = checkpoint_vocab(c, "tokenizer_2");
    v = v ? v : second;
    if (!v)
        return;
    gguf_put_str(w, "tokenizer.ggml.model", "clip");
    gguf_put_strs(w, "tokenizer.ggml.tokens", v->tokens, v->n_tokens);
    gguf_put_strs(w, "tokenizer.ggml.merges", v->merges, v->n_merges);
    if (v->bos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos);
    if (v->eos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos);
    if (v->pad >= 0)
        gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)v->pad);
    if (second && second->pad >= 0)
        gguf_put_u32(w, "lar.tokenizer_2.padding_token_id", (uint32_t)second->pad);
}

/* Values of the source that the conversion does not write itself; safetensors has strings only. */
static void put_old_values(struct gguf_writer *w, const struct checkpoint *c)
{
    const struct weight_file *f = checkpoint_weights(c)->files[0];
    bool clip = checkpoint_vocab(c, "tokenizer") != NULL;
    for (size_t i = 0; f->is_gguf && i < f->gguf.n_values; i++) {
        const struct gguf_value *v = &f->gguf.values[i];
        if (!is_replaced(v->key) || (!clip && strncmp(v->key, "tokenizer.", 10) == 0))
            gguf_put_value(w, v);
    }
    for (size_t i = 0; !f->is_gguf && i < f->st.meta.cap; i++) {
        const struct map_slot *s = &f->st.meta.slots[i];
        if (s->key && !is_replaced(s->key))
            gguf_put_str(w, s->key, s->value);
    }
}

/* The first element that is not 0, or the number itself; layers may differ, some have no attention.
 */
static int first_count(const struct gguf *g, const char *arch, const char *name)
{
    char *key = mem_printf("%s.%s", arch, name);
    const struct gguf_value *v = gguf_find(g, key);
    int64_t n = 0;
    for (size_t i = 0; v && i < v->n && n == 0; i++)
        if (!gguf_int_at(v, i, &n))
            n = 0;
    free(key);
    return n > 0 && n < INT32_MAX ? (int)n : 0;
}

void convert_meta_model(const struct checkpoint *c, struct mix_model *model)
{
    const struct weight_file *f = checkpoint_weights(c)->files[0];
    const char *arch = checkpoint_meta(c, "general.architecture");
    *model = (struct mix_model){.is_tied = !checkpoint_find(c, "output.weight")};
    if (checkpoint_is_huggingface(c))
        language_gguf_model(c, model);
    if (!f->is_gguf || !arch)
        return;
    model->is_falcon = strcmp(arch, "falcon") == 0;
    model->n_layer = first_count(&f->gguf, arch, "block_count");
    model->n_head = first_count(&f->gguf, arch, "attention.head_count");
    model->n_head_kv = first_count(&f->gguf, arch, "attention.head_count_kv");
    model->n_expert = first_count(&f->gguf, arch, "expert_count");
}

void convert_meta_gguf(const struct checkpoint *c, const struct mix *mix, struct gguf_writer *w)
{
    char *name = model_name(c);
    const char *index = checkpoint_config(c, "model_index");
    gguf_put_str(w, "general.architecture", architecture(c));
    gguf_put_str(w, "general.name", name);
    free(name);
    if (mix) {
        gguf_put_u32(w, "general.file_type", mix->file_type);
        gguf_put_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
    }
    put_old_values(w, c);
    if (checkpoint_is_huggingface(c))
        language_gguf_put(c, w);
    if (index)
        gguf_put_str(w, "lar.model_index", index);
    for (size_t i = 0; i < N_CONFIGS; i++) {
        const char *text = checkpoint_config(c, config_names[i]);
        char *key = mem_printf("lar.config.%s", config_names[i]);
        if (text)
            gguf_put_str(w, key, text);
        free(key);
    }
    put_vocab(w, c);
}

/* The list grows by a key and its value; all are owned. */
struct pairs {
    char **v;
    size_t n;
};

static void pairs_add(struct pairs *p, const char *key, const char *value)
{
    p->v = mem_realloc(p->v, (p->n + 3) * sizeof(*p->v));
    p->v[p->n++] = mem_strdup(key);
    p->v[p->n++] = mem_strdup(value);
    p->v[p->n] = NULL;
}

static void add_old_texts(struct pairs *p, const struct checkpoint *c)
{
    const struct weight_file *f = checkpoint_weights(c)->files[0];
    for (size_t i = 0; f->is_gguf && i < f->gguf.n_values; i++)
        if (f->gguf.values[i].text && !is_replaced(f->gguf.values[i].key))
            pairs_add(p, f->gguf.values[i].key, f->gguf.values[i].text);
    for (size_t i = 0; !f->is_gguf && i < f->st.meta.cap; i++)
        if (f->st.meta.slots[i].key && !is_replaced(f->st.meta.slots[i].key))
            pairs_add(p, f->st.meta.slots[i].key, f->st.meta.slots[i].value);
}

char **convert_meta_texts(const struct checkpoint *c)
{
    const struct ckpt_vocab *v = checkpoint_vocab(c, "tokenizer");
    const struct ckpt_vocab *second = checkpoint_vocab(c, "tokenizer_2");
    const char *index = checkpoint_config(c, "model_index");
    struct pairs p = {0};
    pairs_add(&p, "format", "pt");
    add_old_texts(&p, c);
    if (index)
        pairs_add(&p, "lar.model_index", index);
    for (size_t i = 0; i < N_CONFIGS; i++) {
        const char *text = checkpoint_config(c, config_names[i]);
        char *key = mem_printf("lar.config.%s", config_names[i]);
        if (text)
            pairs_add(&p, key, text);
        free(key);
    }
    if (v || second) {
        char *text = vocab_file_write_text(v ? v : second, second);
        if (text)
            pairs_add(&p, CLIP_VOCAB_META, text);
        free(text);
    }
    return p.v;
}

void convert_meta_texts_free(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}
