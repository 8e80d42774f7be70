/* llama2c.h - models of llama2.c (github.com/karpathy/llama2.c) as GGUF files.
 *
 * Its model.bin is seven int32 (dim, hidden, layers, heads, heads of keys, vocabulary, context),
 * then f32 weights in the order of llama2c.c; its tokenizer.bin is an int32 (the longest token),
 * then for each token a float score, an int32 length and the text, blanks instead of
 * SentencePiece's marks. Used by a test and by tools/llama2c_gguf.c.
 */
#ifndef LAR_TESTS_SUPPORT_LLAMA2C_H
#define LAR_TESTS_SUPPORT_LLAMA2C_H

struct err;

int llama2c_convert(const char *model, const char *tokenizer, const char *out, struct err *e);

#endif
