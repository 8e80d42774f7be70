/* image_model.c - see image_model.h. */
#include "pipeline/image_model.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "models/config.h"
#include "pipeline/image_parts.h"
#include "tensor/quant.h"
#include "text/clip_tokenizer.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT_STATES ((size_t)64 << 20) /* bytes; about 100 chunks of SDXL */

static const char *const text_components[2] = {"text_encoder", "text_encoder_2"};
static const char *const tokenizer_components[2] = {"tokenizer", "tokenizer_2"};

char *image_model_name(const struct image_model *m)
{
    size_t length;
    const char *base = file_base(checkpoint_path(m->file), &length);
    char *name = mem_strndup(base, length);
    static const char *const extensions[] = {".safetensors", ".gguf", ".ckpt", ".pt"};
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        size_t n = strlen(name), x = strlen(extensions[i]);
        if (n > x && strcmp(name + n - x, extensions[i]) == 0)
            name[n - x] = '\0';
    }
    return name;
}

int image_model_factor(const struct image_model *m)
{
    return m->tiny_vae ? m->taesd.factor : m->vae.factor;
}

/* OpenCLIP's encoders were trained with "!" (id 0) as padding, CLIP-L with the end of text. */
static int open_text(struct image_model *m, int i, struct err *e)
{
    struct image_text *t = &m->text[i];
    struct loader l;
    load_start(&l, m->file, NULL, text_components[i], e);
    t->present = load_has_any(&l, "text_model");
    if (!t->present)
        return 0;
    int rc = clip_open(&t->encoder, m->file, text_components[i], e);
    if (rc)
        return rc;
    const struct ckpt_vocab *v = checkpoint_vocab(m->file, tokenizer_components[i]);
    struct ckpt_vocab vocab = v ? *v : (struct ckpt_vocab){.bos = -1, .eos = -1, .pad = -1};
    if (vocab.pad < 0 && !t->encoder.quick_gelu)
        vocab.pad = 0;
    rc = clip_tokenizer_new(&t->tokenizer, &vocab, e);
    if (!rc && clip_tokenizer_n_vocab(t->tokenizer) > (size_t)t->encoder.n_vocab)
        rc = err_set(e, ERR_FORMAT, "%s: the tokenizer has %zu tokens, %s only %d",
                     checkpoint_path(m->file), clip_tokenizer_n_vocab(t->tokenizer),
                     text_components[i], (int)t->encoder.n_vocab);
    return rc;
}

/* The widths of encoders and UNet must meet. */
static int check_widths(const struct image_model *m, struct err *e)
{
    const struct clip *a = &m->text[0].encoder, *b = &m->text[1].encoder;
    const char *path = checkpoint_path(m->file);
    bool xl = m->family == IMAGE_SDXL;
    if (!m->text[0].present || (xl && !m->text[1].present))
        return err_set(e, ERR_FORMAT, "%s: no text encoder (%s); name one with --text-encoder FILE",
                       path, m->text[0].present ? text_components[1] : text_components[0]);
    int64_t width = a->n_embd + (xl ? b->n_embd : 0);
    if (width != m->unet.n_context)
        return err_set(e, ERR_FORMAT,
                       "%s: the UNet attends to prompts of width %d, the text encoders give %d",
                       path, (int)m->unet.n_context, (int)width);
    if (xl && (!b->projection || a->n_ctx != b->n_ctx || m->unet.n_add <= b->projection->dim[0] ||
               (m->unet.n_add - b->projection->dim[0]) % 12))
        return err_set(e, ERR_FORMAT,
                       "%s: text_encoder_2 and the UNet's added embedding do not fit", path);
    int64_t latent = m->tiny_vae ? m->taesd.n_latent : m->vae.n_latent;
    if (latent != m->unet.n_out)
        return err_set(e, ERR_FORMAT, "%s: the UNet makes latents of %d channels, the VAE needs %d",
                       path, (int)m->unet.n_out, (int)latent);
    if (m->unet.n_in != m->unet.n_out && m->unet.n_in != 2 * m->unet.n_out + 1)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the UNet takes %d channels and gives %d; ordinary models take %d, "
                       "inpainting models %d",
                       path, (int)m->unet.n_in, (int)m->unet.n_out, (int)m->unet.n_out,
                       (int)(2 * m->unet.n_out + 1));
    return 0;
}

/* SD 2.x comes with epsilon and with v prediction in identical shapes. Without a configuration one
 * trained tensor tells: its spread is larger in the v models (ComfyUI, supported_models.py). */
static bool looks_like_v(const struct image_model *m)
{
    const struct ckpt_tensor *t = checkpoint_find(
        m->file, "unet.up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias");
    if (checkpoint_find(m->file, "unet.v_pred") || !t || m->family != IMAGE_SD2 || t->n_dim != 1 ||
        t->dim[0] > 4096 || dtype_block(t->type) > 1 || !dtype_is_float(t->type))
        return checkpoint_find(m->file, "unet.v_pred") != NULL;
    float x[4096];
    double sum = 0, sum2 = 0, n = (double)t->dim[0];
    quant_to_f32(t->type, t->data, x, t->dim[0]);
    for (int64_t i = 0; i < t->dim[0]; i++) {
        sum += (double)x[i];
        sum2 += (double)x[i] * (double)x[i];
    }
    return sqrt(sum2 / n - sum / n * (sum / n)) > 0.09;
}

/* Is the model distilled, and how? Folders say it in the scheduler: Turbo's are Euler's with
 * trailing timesteps, which other epsilon models do not use. Single files say it in a name, of the
 * file or in it. */
static void read_distillation(struct image_model *m, const struct config *scheduler)
{
    static const char *const keys[] = {"modelspec.title", "modelspec.architecture", "general.name"};
    const char *class = config_text(scheduler, "_class_name", "");
    char *name = image_model_name(m);
    struct distilled *d = &m->distilled;
    *d = distilled_from_name(name);
    for (size_t i = 0; d->kind == DISTILLED_NOT && i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = checkpoint_meta(m->file, keys[i]);
        *d = distilled_from_name(value ? value : "");
    }
    free(name);
    if (strcmp(class, "LCMScheduler") == 0)
        d->kind = DISTILLED_LCM;
    else if (d->kind == DISTILLED_NOT && strncmp(class, "Euler", 5) == 0 &&
             m->schedule.spacing == SPACING_TRAILING &&
             m->schedule.prediction == PREDICTION_EPSILON)
        d->kind = DISTILLED_TURBO;
}

static int read_schedule(struct image_model *m, struct err *e)
{
    struct config scheduler;
    const char *json = checkpoint_config(m->file, "scheduler");
    if (json) {
        int rc = schedule_params_parse(&m->schedule, json, strlen(json), e);
        if (rc)
            err_prefix(e, "%s: scheduler_config.json", checkpoint_path(m->file));
        else
            rc = config_open(&scheduler, m->file, "scheduler", e);
        if (rc)
            return rc;
        read_distillation(m, &scheduler);
        config_close(&scheduler);
        return 0;
    }
    schedule_params_default(&m->schedule);
    const char *said = checkpoint_meta(m->file, "modelspec.prediction_type");
    if (said ? strcasecmp(said, "v") == 0 : looks_like_v(m))
        m->schedule.prediction = PREDICTION_V;
    read_distillation(m, &(struct config){0});
    if (m->distilled.predicts_x0)
        m->schedule.prediction = PREDICTION_SAMPLE;
    if (m->distilled.kind != DISTILLED_NOT)
        m->schedule.spacing = SPACING_TRAILING;
    else if (m->family == IMAGE_SDXL)
        m->schedule.spacing = SPACING_LEADING; /* as in the published scheduler_config.json */
    return 0;
}

/* The native size: the configuration's sample_size, else what the family was trained on. */
static void native_size(struct image_model *m, const struct config *unet)
{
    int side = m->family == IMAGE_SDXL && m->distilled.kind != DISTILLED_TURBO ? 1024 : 512;
    if (m->family == IMAGE_SD2 && m->schedule.prediction == PREDICTION_V)
        side = 768;
    int latent = config_int(unet, "sample_size", 0, 1, 4096);
    m->defaults.width = m->defaults.height = latent ? latent * image_model_factor(m) : side;
}

/* What the model's authors recommend, in the key "lar" of model_index.json: {"steps": 8,
 * "guidance": 3, "sampler": "ddim", "schedule": "trailing", "width": 256, "height": 256}. */
static int read_recommended(struct image_model *m, const struct config *index, struct err *e)
{
    struct config c = {.root = json_object_get(index->root, "lar"), .component = "model_index"};
    struct image_defaults *d = &m->defaults;
    d->steps = config_int(&c, "steps", d->steps, 1, 999);
    d->width = config_int(&c, "width", d->width, 8, 8192);
    d->height = config_int(&c, "height", d->height, 8, 8192);
    d->guidance = config_real(&c, "guidance", d->guidance);
    const char *sampler = config_text(&c, "sampler", NULL);
    const char *schedule = config_text(&c, "schedule", NULL);
    int rc = sampler ? sampler_parse(sampler, &d->sampler, NULL, e) : 0;
    if (!rc && schedule)
        rc = schedule_parse(schedule, &d->schedule, e);
    if (rc)
        err_prefix(e, "%s: \"lar\" in model_index.json", checkpoint_path(m->file));
    return rc;
}

static int read_defaults(struct image_model *m, struct err *e)
{
    struct config unet = {0}, index = {0};
    m->defaults = (struct image_defaults){.steps = 20,
                                          .guidance = m->family == IMAGE_SDXL ? 6 : 7,
                                          .sampler = SAMPLER_DPMPP_2M,
                                          .schedule = SCHEDULE_KARRAS};
    distilled_defaults(&m->distilled, &m->defaults);
    int rc = config_open(&unet, m->file, "unet", e);
    if (!rc)
        rc = config_open(&index, m->file, "model_index", e);
    if (!rc) {
        native_size(m, &unet);
        m->zero_negative = m->family == IMAGE_SDXL &&
                           config_bool(&index, "force_zeros_for_empty_prompt", true);
        rc = read_recommended(m, &index, e);
    }
    config_close(&unet);
    config_close(&index);
    return rc;
}

static double standard_scale(const struct image_model *m)
{
    return m->family == IMAGE_SDXL ? 0.13025 : 0.18215;
}

static int open_parts(struct image_model *m, struct err *e)
{
    int rc = unet_open(&m->unet, m->file, e);
    for (int i = 0; !rc && i < 2; i++)
        rc = open_text(m, i, e);
    if (rc)
        return rc;
    m->family = m->unet.n_add ? IMAGE_SDXL : m->text[0].encoder.quick_gelu ? IMAGE_SD1 : IMAGE_SD2;
    m->tiny_vae = taesd_present(m->file);
    rc = image_parts_check(m->file, e);
    if (rc)
        return rc;
    rc = m->tiny_vae ? taesd_open(&m->taesd, m->file, e)
                     : vae_open(&m->vae, m->file, standard_scale(m), e);
    if (!rc)
        rc = check_widths(m, e);
    if (!rc)
        rc = read_schedule(m, e);
    m->schedule.xl = m->family == IMAGE_SDXL;
    return rc ? rc : read_defaults(m, e);
}

int image_model_open(struct image_model **out, const char *path, struct err *e)
{
    return image_model_open_files(out, &(struct image_files){.path = path}, e);
}

int image_model_open_files(struct image_model **out, const struct image_files *f, struct err *e)
{
    struct image_model *m = mem_alloc(sizeof(*m));
    *out = NULL;
    lru_init(&m->text_states, MAX_TEXT_STATES);
    int rc = checkpoint_open(&m->file, f->path, e);
    if (!rc)
        rc = image_parts_attach(m->file, f, e);
    if (!rc)
        rc = open_parts(m, e);
    if (rc)
        image_model_close(m);
    else
        *out = m;
    return rc;
}

void image_model_close(struct image_model *m)
{
    if (!m)
        return;
    for (int i = 0; i < 2; i++) {
        clip_close(&m->text[i].encoder);
        clip_tokenizer_free(m->text[i].tokenizer);
    }
    unet_close(&m->unet);
    vae_close(&m->vae);
    taesd_close(&m->taesd);
    checkpoint_close(m->file);
    lru_release(&m->text_states);
    free(m);
}
