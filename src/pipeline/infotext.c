/* infotext.c - see infotext.h.
 *
 * As A1111's modules/processing.py (create_infotext) writes it and its modules/infotext_utils.py
 * (parse_generation_parameters) reads it.
 */
#include "pipeline/infotext.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pipeline/noise.h"
#include "pipeline/hires.h"
#include "pipeline/lora_tag.h"
#include "pipeline/recipe.h"
#include "pipeline/recipe_guides.h"
#include "pipeline/sampler.h"
#include "pipeline/schedule.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#define MAX_TEXT RECIPE_MAX_TEXT

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void infotext_append_number(struct buf *b, double v)
{
    char text[40];
    if (fabs(v) < 1e15 && v == floor(v)) {
        buf_printf(b, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    buf_append_str(b, text);
}

/* A JSON number with nothing around it; -1 for anything else. Independent of the locale. */
static double parse_number(const char *s)
{
    json_t *v = json_loads(s, JSON_DECODE_ANY, NULL);
    double x = json_is_number(v) ? json_number_value(v) : -1;
    json_decref(v);
    return isfinite(x) ? x : -1;
}

/* 1 .. INT_MAX, else 0. */
static int parse_count(const char *s)
{
    uint64_t v;
    return recipe_parse_seed(s, &v) && v <= INT_MAX ? (int)v : 0;
}

/* Names: ours (that of the options) and A1111's */

static const struct {
    const char *ours, *a1111;
} schedules[] = {
    {"model", "Automatic"},         {"normal", "Normal"}, {"normal", "Uniform"},
    {"karras", "Karras"},           {"simple", "Simple"}, {"exponential", "Exponential"},
    {"sgm_uniform", "SGM Uniform"}, {"beta", "Beta"},     {"ays", "Align Your Steps"},
    {"trailing", "SGM Uniform"}, /* the nearest that others know; the JSON keeps the difference */
};

static const char *schedule_to_a1111(const char *name)
{
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        if (strcasecmp(name, schedules[i].ours) == 0)
            return schedules[i].a1111;
    return name;
}

static const char *schedule_from_a1111(const char *name)
{
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        if (strcasecmp(name, schedules[i].a1111) == 0)
            return schedules[i].ours;
    return name;
}

static const char *sampler_to_a1111(const char *name)
{
    enum sampler_kind kind;
    return sampler_parse(name, &kind, NULL, NULL) == 0 ? sampler_label(kind) : name;
}

/* Before version 1.9 A1111 had no schedule type but samplers like "DPM++ 2M Karras". */
static void set_sampler(struct recipe *r, const char *name)
{
    static const char *const suffixes[] = {" Karras", " Exponential", " Polyexponential"};
    enum sampler_kind kind;
    char *head = mem_strdup(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(head), len = strlen(suffixes[i]);
        if (n <= len || strcasecmp(head + n - len, suffixes[i]) != 0)
            continue;
        if (!r->schedule)
            recipe_set(&r->schedule, schedule_from_a1111(suffixes[i] + 1));
        head[n - len] = '\0';
        break;
    }
    recipe_set(&r->sampler,
               sampler_parse(head, &kind, NULL, NULL) == 0 ? sampler_name(kind) : head);
    free(head);
}

static void set_rng(struct recipe *r, const char *name)
{
    enum noise_kind kind;
    if (noise_kind_parse(name, &kind, NULL) == 0)
        recipe_set(&r->rng, noise_kind_name(kind));
}

static const char *rng_to_a1111(const char *name)
{
    return strcasecmp(name, "philox") == 0 ? "NV" : strcasecmp(name, "mt19937") == 0 ? "CPU" : name;
}

/* Writing infotext */

/* json.dumps(value, ensure_ascii=False) */
static void append_quoted(struct buf *b, const char *s)
{
    static const char escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* character, letter, ... */
    buf_append_char(b, '"');
    for (; *s; s++) {
        const char *found = NULL;
        for (const char *p = escapes; *p && !found; p += 2)
            found = *p == *s ? p : NULL;
        if (found)
            buf_printf(b, "\\%c", found[1]);
        else if ((unsigned char)*s < 0x20)
            buf_printf(b, "\\u%04x", (unsigned)*s);
        else
            buf_append_char(b, *s);
    }
    buf_append_char(b, '"');
}

static void append_key(struct buf *b, const char *key)
{
    buf_printf(b, "%s%s: ", b->len && b->data[b->len - 1] != '\n' ? ", " : "", key);
}

/* "key: value" unless the value is unknown; quoted where the reader would stumble. */
static void append_param(struct buf *b, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    struct buf clean;
    buf_init(&clean, MAX_TEXT);
    recipe_append_utf8(&clean, value);
    append_key(b, key);
    if (strpbrk(buf_str(&clean), ",:\n"))
        append_quoted(b, buf_str(&clean));
    else
        buf_append_str(b, buf_str(&clean));
    buf_release(&clean);
}

static void append_number_param(struct buf *b, const char *key, double value, bool known)
{
    if (!known || !isfinite(value))
        return;
    append_key(b, key);
    infotext_append_number(b, value);
}

/* Lora hashes: "name: hash, name: hash" */
static void append_lora_hashes(struct buf *b, const struct recipe *r)
{
    struct buf list;
    buf_init(&list, MAX_TEXT);
    for (int i = 0; i < r->n_loras; i++)
        if (r->loras[i].hash)
            buf_printf(&list, "%s%s: %s", list.len ? ", " : "", r->loras[i].name, r->loras[i].hash);
    append_param(b, "Lora hashes", buf_str(&list));
    buf_release(&list);
}

/* "ControlNet 0", "ControlNet 1", ... */
static void append_guides(struct buf *b, const struct recipe *r)
{
    for (int i = 0; i < r->n_guides; i++) {
        struct buf text;
        char key[32];
        buf_init(&text, MAX_TEXT);
        recipe_guide_to_infotext(&r->guides[i], &text);
        snprintf(key, sizeof(key), "ControlNet %d", i);
        append_param(b, key, buf_str(&text));
        buf_release(&text);
    }
}

static void append_mask(struct buf *b, const struct recipe_mask *m)
{
    const char *key;
    struct buf value;
    buf_init(&value, MAX_TEXT);
    for (int i = 0; (key = recipe_mask_param(m, i, &value)); i++) {
        append_param(b, key, buf_str(&value));
        buf_reset(&value);
    }
    buf_release(&value);
}

/* A1111 has one strength: of the larger drawing, where there is no picture it starts from. */
static void append_hires(struct buf *b, const struct recipe *r)
{
    if (r->hires <= 0)
        return;
    append_number_param(b, r->strength < 0 ? "Denoising strength" : "Hires denoising strength",
                        r->hires_strength, r->hires_strength >= 0);
    append_number_param(b, "Hires upscale", r->hires, true);
    append_number_param(b, "Hires steps", r->hires_steps, r->hires_steps >= 1);
    enum hires_kind kind = r->hires_upscaler ? hires_parse(r->hires_upscaler) : N_HIRES;
    append_param(b, "Hires upscaler", kind != N_HIRES ? hires_label(kind) : r->hires_upscaler);
}

/* After reading: the other way round. */
static void sort_strengths(struct recipe *r)
{
    if (r->hires <= 0 || r->source || r->source_hash || r->hires_strength >= 0)
        return;
    r->hires_strength = r->strength;
    r->strength = -1;
}

static void set_hires_upscaler(struct recipe *r, const char *name)
{
    enum hires_kind kind = hires_parse(name);
    recipe_set(&r->hires_upscaler, kind != N_HIRES ? hires_name(kind) : name);
}

static void append_settings(struct buf *b, const struct recipe *r)
{
    append_number_param(b, "Steps", r->steps, r->steps >= 1);
    append_param(b, "Sampler", r->sampler ? sampler_to_a1111(r->sampler) : NULL);
    append_param(b, "Schedule type", r->schedule ? schedule_to_a1111(r->schedule) : NULL);
    append_number_param(b, "CFG scale", r->guidance, r->guidance >= 0);
    if (r->has_seed) {
        append_key(b, "Seed");
        buf_printf(b, "%llu", (unsigned long long)r->seed);
    }
    if (r->width >= 1 && r->height >= 1) {
        append_key(b, "Size");
        buf_printf(b, "%dx%d", r->width, r->height);
    }
    append_param(b, "Model hash", r->model_hash);
    append_param(b, "Model", r->model);
    append_param(b, "VAE", r->vae);
    append_param(b, "Module 1", r->text_encoder[0]); /* as Forge calls them */
    append_param(b, "Module 2", r->text_encoder[1]);
    if (r->variation_strength > 0) {
        append_key(b, "Variation seed");
        buf_printf(b, "%llu", (unsigned long long)r->variation_seed);
        append_number_param(b, "Variation seed strength", r->variation_strength, true);
    }
    append_number_param(b, "Denoising strength", r->strength, r->strength >= 0);
    append_hires(b, r);
    append_number_param(b, "Clip skip", r->clip_skip, r->clip_skip >= 2);
    append_param(b, "Tiling", r->tileable && !strcmp(r->tileable, "both") ? "True" : r->tileable);
    append_param(b, "Init image hash", r->source_hash);
    append_param(b, "RNG", r->rng ? rng_to_a1111(r->rng) : NULL);
    append_number_param(b, "Eta", r->eta, r->eta >= 0);
    append_number_param(b, "CFG Rescale", r->guidance_rescale, r->guidance_rescale > 0);
    append_param(b, "Sigmas", r->sigmas);
    append_param(b, "Init image", r->source);
    append_param(b, "Extend", r->extend);
    append_number_param(b, "Postprocess upscale by", r->upscale, r->upscale > 0);
    append_param(b, "Postprocess upscaler", r->upscaler);
    append_mask(b, &r->mask);
    append_lora_hashes(b, r);
    append_param(b, "TI hashes", r->embeddings);
    append_guides(b, r);
    append_param(b, "Version", r->version);
}

char *infotext_write(const struct recipe *r)
{
    struct buf b;
    buf_init(&b, 4 * MAX_TEXT);
    recipe_append_utf8(&b, r->prompt ? r->prompt : "");
    for (int i = 0; i < r->n_loras; i++) {
        buf_append_str(&b, b.len ? " <lora:" : "<lora:");
        recipe_append_utf8(&b, r->loras[i].name);
        buf_append_char(&b, ':');
        if (r->loras[i].text_weight != r->loras[i].weight) {
            infotext_append_number(&b, r->loras[i].text_weight);
            buf_append_char(&b, ':');
        }
        infotext_append_number(&b, r->loras[i].weight);
        buf_append_char(&b, '>');
    }
    if (r->negative && *r->negative) {
        buf_append_str(&b, "\nNegative prompt: ");
        recipe_append_utf8(&b, r->negative);
    }
    buf_append_char(&b, '\n');
    append_settings(&b, r);
    const char *begin = buf_str(&b), *end = begin + b.len;
    while (begin < end && is_space(*begin))
        begin++;
    while (end > begin && is_space(end[-1]))
        end--;
    char *text = mem_strndup(begin, (size_t)(end - begin));
    buf_release(&b);
    return text;
}

/* Reading infotext */

struct span {
    const char *p;
    size_t n;
};

static struct span trim(const char *begin, const char *end)
{
    while (begin < end && is_space(*begin))
        begin++;
    while (end > begin && is_space(end[-1]))
        end--;
    return (struct span){begin, (size_t)(end - begin)};
}

/* \w of a Python regular expression, with every character beyond ASCII taken for a letter. */
static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
}

/* The end of "(?:\\.|[^\\"])+" from its first quote on, when a comma or the end follows. */
static const char *quoted_end(const char *p, const char *end)
{
    const char *s = p + 1;
    while (s < end && *s != '"') {
        if (*s == '\\')
            s++;
        s++;
    }
    if (s >= end || s == p + 1)
        return NULL;
    s++;
    return s == end || *s == ',' ? s : NULL;
}

/* The next match of \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$) at or after *p. */
static bool next_param(const char **p, const char *end, struct span *key, struct span *value)
{
    for (const char *s = *p; s < end;) {
        if (!is_word(*s)) {
            s++;
            continue;
        }
        const char *k = s;
        int n_chars = 0;
        for (; s < end && (is_word(*s) || *s == ' ' || *s == '-' || *s == '/'); s++)
            n_chars += (*s & 0xc0) != 0x80;
        if (s == end || *s != ':' || n_chars < 2)
            continue;
        *key = (struct span){k, (size_t)(s - k)};
        for (s++; s < end && is_space(*s); s++)
            continue;
        const char *v = s, *stop = s < end && *s == '"' ? quoted_end(s, end) : NULL;
        if (!stop)
            stop = memchr(v, ',', (size_t)(end - v));
        if (!stop)
            stop = end;
        *value = (struct span){v, (size_t)(stop - v)};
        *p = stop < end ? stop + 1 : end;
        return true;
    }
    return false;
}

/* A value without its quotes; text in quotes that is no JSON string stays as it is. */
static char *unquote(struct span v)
{
    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"') {
        json_t *s = json_loadb(v.p, v.n, JSON_DECODE_ANY, NULL);
        char *text = mem_strdup(json_string_value(s));
        json_decref(s);
        if (text)
            return text;
    }
    return mem_strndup(v.p, v.n);
}

/* `name: hash, name: hash` gives the LoRAs found in the prompt their hashes. */
static void set_lora_hashes(struct recipe *r, const char *list)
{
    struct span key, value;
    const char *p = list, *end = list + strlen(list);
    while (next_param(&p, end, &key, &value))
        for (int i = 0; i < r->n_loras; i++)
            if (strlen(r->loras[i].name) == key.n && !memcmp(r->loras[i].name, key.p, key.n)) {
                free(r->loras[i].hash);
                r->loras[i].hash = mem_strndup(value.p, value.n);
            }
}

static void set_size(struct recipe *r, char *value)
{
    char *x = strchr(value, 'x');
    if (!x)
        return;
    *x = '\0';
    r->width = parse_count(value);
    r->height = parse_count(x + 1);
    if (!r->width || !r->height)
        r->width = r->height = 0;
}

/* A1111 knows tiling in both ways only; ours go on with x and y. */
static const char *tiling(const char *value)
{
    bool one = !strcmp(value, "x") || !strcmp(value, "y");
    return one ? value : !strcmp(value, "True") ? "both" : NULL;
}

static void set_param(struct recipe *r, struct span key, char *value)
{
    const struct {
        const char *key;
        char **field;
    } strings[] = {{"Model hash", &r->model_hash},
                   {"Model", &r->model},
                   {"Init image", &r->source},
                   {"Init image hash", &r->source_hash},
                   {"Extend", &r->extend},
                   {"Postprocess upscaler", &r->upscaler},
                   {"VAE", &r->vae},
                   {"Module 1", &r->text_encoder[0]},
                   {"Module 2", &r->text_encoder[1]},
                   {"Sigmas", &r->sigmas},
                   {"TI hashes", &r->embeddings},
                   {"Version", &r->version}};
    const struct {
        const char *key;
        double *field, max;
    } numbers[] = {{"CFG scale", &r->guidance, RECIPE_MAX_GUIDANCE},
                   {"CFG Rescale", &r->guidance_rescale, 1},
                   {"Postprocess upscale by", &r->upscale, RECIPE_MAX_UPSCALE},
                   {"Eta", &r->eta, 1},
                   {"Eta DDIM", &r->eta, 1},
                   {"Variation seed strength", &r->variation_strength, 1},
                   {"Hires upscale", &r->hires, HIRES_MAX_SCALE},
                   {"Hires denoising strength", &r->hires_strength, 1},
                   {"Denoising strength", &r->strength, 1}};
    char name[32] = "";
    if (key.n < sizeof name)
        memcpy(name, key.p, key.n);
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (strcmp(name, strings[i].key) == 0)
            recipe_set(strings[i].field, value);
    double number = parse_number(value);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].key) == 0)
            *numbers[i].field = number <= numbers[i].max ? number : -1;
    if (!strcmp(name, "Steps"))
        r->steps = parse_count(value);
    else if (!strcmp(name, "Sampler"))
        set_sampler(r, value);
    else if (!strcmp(name, "Schedule type"))
        recipe_set(&r->schedule, schedule_from_a1111(value));
    else if (!strcmp(name, "Seed"))
        r->has_seed = recipe_parse_seed(value, &r->seed);
    else if (!strcmp(name, "Variation seed"))
        recipe_parse_seed(value, &r->variation_seed);
    else if (!strcmp(name, "Size"))
        set_size(r, value);
    else if (!strcmp(name, "Clip skip"))
        r->clip_skip = parse_count(value);
    else if (!strcmp(name, "Hires steps"))
        r->hires_steps = parse_count(value);
    else if (!strcmp(name, "Hires upscaler"))
        set_hires_upscaler(r, value);
    else if (!strcmp(name, "Tiling"))
        recipe_set(&r->tileable, tiling(value));
    else if (!strcmp(name, "RNG"))
        set_rng(r, value);
    else if (!strcmp(name, "Lora hashes"))
        set_lora_hashes(r, value);
    else if (!strncmp(name, "ControlNet ", 11))
        recipe_guide_from_infotext(r, value);
    else
        recipe_mask_read(&r->mask, name, value);
}

static void add_lora(const struct lora_tag *tag, void *ctx)
{
    struct recipe *r = ctx;
    recipe_add_lora(r, tag->name, tag->unet, NULL);
    r->loras[r->n_loras - 1].text_weight = tag->text;
}

/* Everything before the settings. */
static void set_prompts(struct recipe *r, const char *p, const char *end)
{
    static const char mark[] = "Negative prompt:";
    struct buf prompts[2]; /* the prompt, the negative one */
    int at = 0;
    buf_init(&prompts[0], MAX_TEXT);
    buf_init(&prompts[1], MAX_TEXT);
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        struct span line = trim(p, stop);
        if (line.n >= sizeof mark - 1 && !memcmp(line.p, mark, sizeof mark - 1)) {
            at = 1;
            line = trim(line.p + sizeof mark - 1, line.p + line.n);
        }
        if (prompts[at].len)
            buf_append_char(&prompts[at], '\n');
        buf_append(&prompts[at], line.p, line.n);
        p = stop < end ? stop + 1 : end;
    }
    recipe_set(&r->prompt, buf_str(&prompts[0]));
    if (at == 1)
        recipe_set(&r->negative, buf_str(&prompts[1]));
    buf_release(&prompts[0]);
    buf_release(&prompts[1]);
    lora_tags_take(r->prompt, add_lora, r);
}

int infotext_read(struct recipe *r, const char *text)
{
    struct span all = trim(text, text + strlen(text)), key, value;
    const char *end = all.p + all.n, *last = memrchr(all.p, '\n', all.n);
    last = last ? last + 1 : all.p;
    int n = 0;
    for (const char *p = last; next_param(&p, end, &key, &value);)
        n++;
    set_prompts(r, all.p, n < 3 ? end : last);
    for (const char *p = last; n >= 3 && next_param(&p, end, &key, &value);) {
        char *plain = unquote(value);
        set_param(r, key, plain);
        free(plain);
    }
    sort_strengths(r);
    return n < 3 ? 0 : n;
}
