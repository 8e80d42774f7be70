/* describe.c - see describe.h. Everything is told from names and shapes, as the engine does. */
#include "format/describe.h"

#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/weights.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool has(const struct checkpoint *c, const char *name)
{
    return checkpoint_find(c, name) != NULL;
}

/* Size of one dimension, 0 where the tensor is absent or has fewer. */
static int64_t dim(const struct checkpoint *c, const char *name, int i)
{
    const struct ckpt_tensor *t = checkpoint_find(c, name);
    return t && i < t->n_dim ? t->dim[i] : 0;
}

/* The first tensor whose name has this in it. */
static const struct ckpt_tensor *containing(const struct checkpoint *c, const char *part)
{
    for (size_t i = 0; i < checkpoint_n(c); i++)
        if (strstr(checkpoint_at(c, i)->name, part))
            return checkpoint_at(c, i);
    return NULL;
}

/* The family of a UNet or of a ControlNet. SD 1.x conditions on CLIP-L, width 768; SD 2.x on
 * OpenCLIP-H, width 1024, and projects with matrices instead of 1x1 convolutions, which also tells
 * smaller kin. */
static const char *unet_family(const struct checkpoint *c)
{
    const struct ckpt_tensor *key = containing(c, ".attn2.to_k.weight");
    const struct ckpt_tensor *proj = containing(c, ".proj_in.weight");
    int64_t context = key && key->n_dim == 2 ? key->dim[1] : 0;
    if (has(c, "unet.add_embedding.linear_1.weight") ||
        has(c, "controlnet.add_embedding.linear_1.weight"))
        return "Stable Diffusion XL";
    if (!key)
        return "UNet without text";
    if (context == 768)
        return "Stable Diffusion 1.x";
    if (context == 1024)
        return "Stable Diffusion 2.x";
    return proj && proj->n_dim == 4 ? "Stable Diffusion 1.x" : "Stable Diffusion 2.x";
}

/* Told by the number of channels that enter the UNet. */
static const char *unet_variant(const struct checkpoint *c)
{
    switch (dim(c, "unet.conv_in.weight", 1)) {
    case 8:
        return ", picture editing";
    case 9:
        return ", inpainting";
    default:
        return "";
    }
}

static char *describe_vae(const struct checkpoint *c)
{
    if (has(c, "vae.decoder.layers.0.weight"))
        return mem_printf("TAESD %s, %d latent channels",
                          has(c, "vae.encoder.layers.0.weight") ? "autoencoder" : "decoder",
                          (int)dim(c, "vae.decoder.layers.0.weight", 1));
    if (has(c, "vae.encoder.layers.0.weight"))
        return mem_strdup("TAESD encoder");
    return mem_printf("KL autoencoder, %d latent channels",
                      (int)dim(c, "vae.decoder.conv_in.weight", 1));
}

static const char *ip_adapter_kind(const struct checkpoint *c)
{
    return containing(c, "to_q_lora") || containing(c, "perceiver_resampler") ? " FaceID"
           : has(c, "ip_adapter.image_proj.latents")                          ? " Plus"
           : has(c, "ip_adapter.image_proj.proj.3.weight")                    ? " Full"
                                                                              : "";
}

static char *describe_architecture(const struct checkpoint *c)
{
    static const char embedding[] = "text_encoder.text_model.embeddings.token_embedding.weight";
    static const char patches[] = "image_encoder.vision_model.embeddings.patch_embedding.weight";
    const char *own = checkpoint_meta(c, "general.architecture");
    if (has(c, "unet.conv_in.weight"))
        return mem_printf("%s%s", unet_family(c), unet_variant(c));
    if (has(c, "ip_adapter.ip_adapter.1.to_k_ip.weight"))
        return mem_printf("IP-Adapter%s, for prompts of width %d", ip_adapter_kind(c),
                          (int)dim(c, "ip_adapter.ip_adapter.1.to_k_ip.weight", 1));
    if (has(c, patches))
        return mem_printf("CLIP image encoder, width %d", (int)dim(c, patches, 0));
    if (has(c, "controlnet.controlnet_mid_block.weight"))
        return mem_printf("ControlNet for %s", unet_family(c));
    if (containing(c, "lora_") || containing(c, ".lora.") || containing(c, ":down"))
        return mem_strdup("LoRA");
    if (containing(c, "upscaler."))
        return mem_strdup(has(c, "upscaler.conv_first.weight") ? "ESRGAN upscaler"
                                                               : "compact ESRGAN upscaler");
    if (containing(c, "vae.") == checkpoint_at(c, 0))
        return describe_vae(c);
    if (has(c, embedding))
        return mem_printf("CLIP text encoder, width %d", (int)dim(c, embedding, 1));
    return mem_strdup(own ? own : "unknown architecture");
}

static const char *describe_layout(const struct checkpoint *c)
{
    switch (checkpoint_layout(c)) {
    case CKPT_LDM:
        return "single file with LDM names";
    case CKPT_TAESD:
        return "file with TAESD's names";
    case CKPT_DIFFUSERS:
        if (!file_is_dir(checkpoint_path(c)))
            return "file with diffusers' names";
        return checkpoint_config(c, "model_index") ? "diffusers folder" : "folder of one component";
    default:
        return "file";
    }
}

static void count(struct type_count *n, uint64_t parameters, size_t bytes)
{
    n->n_tensors++;
    n->parameters += parameters;
    n->bytes += bytes;
}

static void add(struct part_summary *p, const struct ckpt_tensor *t)
{
    uint64_t parameters = 1;
    size_t i = 0;
    for (int k = 0; k < t->n_dim; k++)
        parameters *= (uint64_t)t->dim[k];
    count(&p->all, parameters, t->size);
    while (i < p->n_types && strcmp(p->types[i].type, t->type_name) != 0)
        i++;
    if (i == DESCRIBE_MAX_TYPES)
        return;
    if (i == p->n_types)
        p->types[p->n_types++].type = t->type_name;
    count(&p->types[i], parameters, t->size);
}

static int by_bytes(const void *a, const void *b)
{
    const struct type_count *x = a, *y = b;
    return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

static int by_component(const void *a, const void *b)
{
    const struct part_summary *x = a, *y = b;
    return strcmp(x->component, y->component);
}

static bool is_component(const char *name, size_t n)
{
    static const char *const known[] = {"unet",           "vae",         "text_encoder",
                                        "text_encoder_2", "transformer", "controlnet",
                                        "image_encoder",  "ip_adapter",  "upscaler"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == n && memcmp(name, known[i], n) == 0)
            return true;
    return false;
}

static struct part_summary *find_part(struct model_summary *s, const char *name)
{
    size_t n = strcspn(name, "."), i = 0;
    n = is_component(name, n) ? n : 0;
    while (i < s->n_parts &&
           (strlen(s->parts[i].component) != n || memcmp(s->parts[i].component, name, n) != 0))
        i++;
    if (i == s->n_parts) {
        s->parts = mem_realloc(s->parts, (i + 1) * sizeof(*s->parts));
        s->parts[s->n_parts++] = (struct part_summary){.component = mem_strndup(name, n)};
    }
    return &s->parts[i];
}

void model_summary_read(struct model_summary *s, const struct checkpoint *c)
{
    *s = (struct model_summary){0};
    s->architecture = describe_architecture(c);
    s->layout = describe_layout(c);
    const struct weight_file *f = checkpoint_weights(c)->files[0];
    s->format = f->is_gguf ? "GGUF" : f->is_pytorch ? "PyTorch" : "safetensors";
    for (size_t i = 0; i < checkpoint_n(c); i++) {
        add(find_part(s, checkpoint_at(c, i)->name), checkpoint_at(c, i));
        add(&s->total, checkpoint_at(c, i));
    }
    qsort(s->parts, s->n_parts, sizeof(*s->parts), by_component);
    for (size_t i = 0; i < s->n_parts; i++)
        qsort(s->parts[i].types, s->parts[i].n_types, sizeof(s->parts[i].types[0]), by_bytes);
    qsort(s->total.types, s->total.n_types, sizeof(s->total.types[0]), by_bytes);
}

void model_summary_release(struct model_summary *s)
{
    for (size_t i = 0; i < s->n_parts; i++)
        free(s->parts[i].component);
    free(s->parts);
    free(s->architecture);
    *s = (struct model_summary){0};
}
