/* tiny_embedder.h - a model for embeddings, tiny and of hash weights, as a Hugging Face folder. */
#ifndef LAR_TESTS_SUPPORT_TINY_EMBEDDER_H
#define LAR_TESTS_SUPPORT_TINY_EMBEDDER_H

/* The tiny bert with a tokenizer that knows "red", "boat", "##s", "calm", "sea", "a", "b", "c";
 * `pooling` is its 1_Pooling/config.json or NULL. The folder's path; heap. */
char *tiny_embedder_write(const char *pooling);

/* Writes a text as a file of a folder. */
void tiny_embedder_file(const char *folder, const char *name, const char *text);

#endif
