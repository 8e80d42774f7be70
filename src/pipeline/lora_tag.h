/* lora_tag.h - LoRAs named in a prompt, as AUTOMATIC1111 writes them:
 *
 *     <lora:ink>                 weight 1
 *     <lora:ink:0.8>             for UNet and text encoders
 *     <lora:ink:0.5:0.8>         text encoders, UNet
 *     <lora:ink:te=0.5:unet=1>   the same by name
 *
 * They are no part of the text that is encoded: take them out before the prompt is parsed.
 */
#ifndef LAR_PIPELINE_LORA_TAG_H
#define LAR_PIPELINE_LORA_TAG_H

struct lora_tag {
    char name[256];
    double text, unet;
};

/* Reads a tag at p; its end, or NULL where there is none. */
const char *lora_tag_read(const char *p, struct lora_tag *tag);

/* Takes all tags, with the blanks before them, out of the prompt and passes them on in order. What
 * looks like a tag but is none stays. */
void lora_tags_take(char *prompt, void (*fn)(const struct lora_tag *tag, void *ctx), void *ctx);

#endif
