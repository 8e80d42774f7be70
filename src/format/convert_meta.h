/* convert_meta.h - what a converted model's file says beside its tensors: see convert.h. */
#ifndef LAR_FORMAT_CONVERT_META_H
#define LAR_FORMAT_CONVERT_META_H

struct checkpoint;
struct gguf_writer;
struct mix;
struct mix_model;

/* `mix` may be NULL: no file type is written then. */
void convert_meta_gguf(const struct checkpoint *c, const struct mix *mix, struct gguf_writer *w);

/* What the recipes of mix.h ask of a language model; 0 where the file does not say. */
void convert_meta_model(const struct checkpoint *c, struct mix_model *model);

/* Key, value, key, ... NULL: for a safetensors file's __metadata__. */
char **convert_meta_texts(const struct checkpoint *c);
void convert_meta_texts_free(char **texts);

#endif
