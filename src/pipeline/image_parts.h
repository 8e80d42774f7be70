/* image_parts.h - a model of which some parts come in files of their own: a UNet as GGUF with CLIP
 * and VAE beside it, another VAE, a tiny one.
 */
#ifndef LAR_PIPELINE_IMAGE_PARTS_H
#define LAR_PIPELINE_IMAGE_PARTS_H

struct checkpoint;
struct err;
struct image_files;

/* Opens the files that f names beside f->path and puts their components into `c`. A decoder of
 * TAESD finds its encoder beside it, where the name differs in that word alone. Of text encoders
 * the narrower is the first one; a single one takes the place of that with its width. */
int image_parts_attach(struct checkpoint *c, const struct image_files *f, struct err *e);

/* ERR_FORMAT with what to do about it when there is no text encoder or no VAE. */
int image_parts_check(const struct checkpoint *c, struct err *e);

#endif
