/* language_gguf.h - a Hugging Face language model as a GGUF file, as llama.cpp's converter would
 * write it: metadata under GGUF's keys, q and k in the order of its rotations, experts in one
 * tensor.
 */
#ifndef LAR_TESTS_SUPPORT_LANGUAGE_GGUF_H
#define LAR_TESTS_SUPPORT_LANGUAGE_GGUF_H

struct checkpoint;
struct err;

/* The tensors of the checkpoint are in a plain type; they are written as f32. Experts in MXFP4
 * stay so. */
int language_gguf_write(const struct checkpoint *file, const char *path, struct err *e);

#endif
