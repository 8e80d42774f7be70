/* lora_names.c - see lora_names.h. */
#include "format/lora_names.h"

#include "format/checkpoint.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define NAME_SIZE  256
#define MAX_BLOCKS 16
#define MAX_LAYERS 64 /* of a block, of a transformer, of a text encoder */

/* How the UNet's blocks divide, for the numbers of the original names. */
struct levels {
    int layers[2][MAX_BLOCKS];   /* resnets of a down block, of an up block */
    bool samples[2][MAX_BLOCKS]; /* has it a sampler? */
    bool attends[2][MAX_BLOCKS];
};

/* Reads "<stem>.<index>." below a limit; the rest, or NULL. */
static const char *item_of(const char *s, const char *stem, int limit, int *index)
{
    size_t n = strlen(stem);
    char *end;
    if (strncmp(s, stem, n) != 0 || s[n] != '.' || !isdigit((unsigned char)s[n + 1]))
        return NULL;
    long x = strtol(s + n + 1, &end, 10);
    if (*end != '.' || x >= limit)
        return NULL;
    *index = (int)x;
    return end + 1;
}

/* The same for "unet.down_blocks.<block>." and "unet.up_blocks.<block>.". */
static const char *block_of(const char *name, int up, int *block)
{
    return item_of(name, up ? "unet.up_blocks" : "unet.down_blocks", MAX_BLOCKS, block);
}

/* The same for "resnets.<index>." and other parts of a block. */
static const char *part_of_block(const char *s, const char *stem, int *index)
{
    return item_of(s, stem, MAX_LAYERS, index);
}

static void count_levels(struct levels *l, const struct checkpoint *c)
{
    for (size_t i = 0; i < checkpoint_n(c); i++)
        for (int up = 0; up < 2; up++) {
            int block, index;
            const char *s = block_of(checkpoint_at(c, i)->name, up, &block);
            if (s && part_of_block(s, "resnets", &index) && index >= l->layers[up][block])
                l->layers[up][block] = index + 1;
            if (s && part_of_block(s, up ? "upsamplers" : "downsamplers", &index))
                l->samples[up][block] = true;
            if (s && part_of_block(s, "attentions", &index))
                l->attends[up][block] = true;
        }
}

/* The name of a residual block's module, or of one outside the blocks, in both schemes. */
struct pair {
    const char *to, *from;
};
static const struct pair resnet_parts[] = {{"conv1", "in_layers.2"},
                                           {"conv2", "out_layers.3"},
                                           {"time_emb_proj", "emb_layers.1"},
                                           {"conv_shortcut", "skip_connection"}};
static const struct pair outer_parts[] = {{"unet.conv_in", "input_blocks.0.0"},
                                          {"unet.conv_out", "out.2"},
                                          {"unet.time_embedding.linear_1", "time_embed.0"},
                                          {"unet.time_embedding.linear_2", "time_embed.2"},
                                          {"unet.add_embedding.linear_1", "label_emb.0.0"},
                                          {"unet.add_embedding.linear_2", "label_emb.0.2"}};

static const char *part_of(const struct pair *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].to, name) == 0)
            return rows[i].from;
    return NULL;
}

/* A module of a block, below the LDM names of its resnet and of what follows that. */
static bool ldm_part(char out[NAME_SIZE], const char *rest, const char *row, int number)
{
    int index;
    const char *s = part_of_block(rest, "resnets", &index);
    const char *part = s ? part_of(resnet_parts, COUNT(resnet_parts), s) : NULL;
    if (part)
        return snprintf(out, NAME_SIZE, "unet.%s.%d.0.%s", row, number + index, part) < NAME_SIZE;
    s = part_of_block(rest, "attentions", &index);
    return s && snprintf(out, NAME_SIZE, "unet.%s.%d.1.%s", row, number + index, s) < NAME_SIZE;
}

static bool ldm_block(char out[NAME_SIZE], const struct levels *l, int up, int block,
                      const char *rest)
{
    int first = up ? 0 : 1;
    const char *row = up ? "output_blocks" : "input_blocks";
    for (int i = 0; i < block; i++)
        first += l->layers[up][i] + (!up && l->samples[up][i] ? 1 : 0);
    if (!up && strcmp(rest, "downsamplers.0.conv") == 0)
        return snprintf(out, NAME_SIZE, "unet.%s.%d.0.op", row, first + l->layers[up][block]) > 0;
    if (up && strcmp(rest, "upsamplers.0.conv") == 0)
        return snprintf(out, NAME_SIZE, "unet.%s.%d.%d.conv", row, first + l->layers[up][block] - 1,
                        l->attends[up][block] ? 2 : 1) > 0;
    return ldm_part(out, rest, row, first);
}

/* The original name of a module of the UNet; false when it has none of its own. */
static bool ldm_name(char out[NAME_SIZE], const struct levels *l, const char *name)
{
    const char *s = part_of(outer_parts, COUNT(outer_parts), name);
    int block, index;
    if (s)
        return snprintf(out, NAME_SIZE, "unet.%s", s) > 0;
    for (int up = 0; up < 2; up++)
        if ((s = block_of(name, up, &block)))
            return ldm_block(out, l, up, block, s);
    if (strncmp(name, "unet.mid_block.", 15) != 0)
        return false;
    s = part_of_block(name + 15, "resnets", &index);
    s = s ? part_of(resnet_parts, COUNT(resnet_parts), s) : NULL;
    if (s)
        return snprintf(out, NAME_SIZE, "unet.middle_block.%d.%s", 2 * index, s) > 0;
    s = part_of_block(name + 15, "attentions", &index);
    return s && snprintf(out, NAME_SIZE, "unet.middle_block.1.%s", s) < NAME_SIZE;
}

static void put(struct lora_names *n, const char *name, const struct ckpt_tensor *t)
{
    char flat[NAME_SIZE];
    size_t length = strlen(name);
    if (length >= sizeof(flat))
        return;
    for (size_t i = 0; i <= length; i++)
        flat[i] = name[i] == '.' ? '_' : name[i];
    map_put(&n->weights, flat, length, (void *)(uintptr_t)t);
}

static void put_all(struct lora_names *n, const struct checkpoint *c, const struct levels *l)
{
    static const char end[] = ".weight";
    char name[NAME_SIZE], ldm[NAME_SIZE];
    for (size_t i = 0; i < checkpoint_n(c); i++) {
        const struct ckpt_tensor *t = checkpoint_at(c, i);
        size_t length = strlen(t->name), m = sizeof(end) - 1;
        if (t->n_dim < 2 || length <= m || length - m >= sizeof(name) ||
            strcmp(t->name + length - m, end) != 0)
            continue;
        memcpy(name, t->name, length - m);
        name[length - m] = '\0';
        put(n, name, t);
        if (ldm_name(ldm, l, name))
            put(n, ldm, t);
    }
}

/* ---- cloneofsimo's numbers ---- */

/* Modules in the order in which PyTorch finds them: down, up, middle; in each attention's
 * projections, and of the feed-forward the gated one. */
struct counter {
    struct lora_names *n;
    const struct checkpoint *c;
    const char *component;
    int count;
};

/* Numbers the module if the model has it. */
static bool count_module(struct counter *k, const char *stem, const char *module)
{
    char name[2 * NAME_SIZE], number[32];
    snprintf(name, sizeof(name), "%s.%s.weight", stem, module);
    const struct ckpt_tensor *t = checkpoint_find(k->c, name);
    if (!t)
        return false;
    int n = snprintf(number, sizeof(number), "%s:%d", k->component, k->count++);
    map_put(&k->n->weights, number, (size_t)n, (void *)(uintptr_t)t);
    return true;
}

static void count_attentions(struct counter *k, const char *block)
{
    static const char *const modules[] = {"attn1.to_q",     "attn1.to_k",    "attn1.to_v",
                                          "attn1.to_out.0", "ff.net.0.proj", "attn2.to_q",
                                          "attn2.to_k",     "attn2.to_v",    "attn2.to_out.0"};
    char stem[NAME_SIZE];
    for (int i = 0; i < MAX_LAYERS; i++) {
        int j = 0;
        for (bool found = true; found && j < MAX_LAYERS; j++) {
            snprintf(stem, sizeof(stem), "unet.%s.attentions.%d.transformer_blocks.%d", block, i,
                     j);
            found = false;
            for (size_t m = 0; m < COUNT(modules); m++)
                found |= count_module(k, stem, modules[m]);
        }
        if (j < 2)
            return; /* not even one */
    }
}

static void count_unet(struct lora_names *n, const struct checkpoint *c)
{
    struct counter k = {n, c, "unet", 0};
    char block[32];
    for (int up = 0; up < 2; up++)
        for (int i = 0; i < MAX_BLOCKS; i++) {
            snprintf(block, sizeof(block), "%s_blocks.%d", up ? "up" : "down", i);
            count_attentions(&k, block);
        }
    count_attentions(&k, "mid_block");
}

static void count_text(struct lora_names *n, const struct checkpoint *c)
{
    static const char *const modules[] = {"k_proj", "v_proj", "q_proj", "out_proj"};
    struct counter k = {n, c, "text_encoder", 0};
    char stem[NAME_SIZE];
    for (int i = 0; i < MAX_LAYERS; i++) {
        snprintf(stem, sizeof(stem), "text_encoder.text_model.encoder.layers.%d.self_attn", i);
        for (size_t m = 0; m < COUNT(modules); m++)
            count_module(&k, stem, modules[m]);
    }
}

void lora_names_init(struct lora_names *n, const struct checkpoint *c)
{
    struct levels l = {0};
    *n = (struct lora_names){0};
    count_levels(&l, c);
    put_all(n, c, &l);
    count_unet(n, c);
    count_text(n, c);
}

void lora_names_release(struct lora_names *n)
{
    map_release(&n->weights);
}

const struct ckpt_tensor *lora_names_find(const struct lora_names *n, const char *module)
{
    return map_get_str(&n->weights, module);
}
