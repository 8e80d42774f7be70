/* clip_vocab.h - the vocabulary of OpenAI's CLIP, which every Stable Diffusion text encoder shares.
 *
 *     id 0 .. 255          the bytes, in the order of the byte-level alphabet: first those that
 *                          are printable in Latin-1 (33-126, 161-172, 174-255), then the rest
 *     id 256 .. 511        the same at the end of a word ("</w>")
 *     id 512 + r           what the merge of rank r makes
 *     id 49406, 49407      <|startoftext|>, <|endoftext|>
 *
 * so that the merges say everything.
 */
#ifndef LAR_TEXT_CLIP_VOCAB_H
#define LAR_TEXT_CLIP_VOCAB_H

#include <stdint.h>

#define CLIP_VOCAB_N_MERGES   48894
#define CLIP_VOCAB_SIZE       49408
#define CLIP_VOCAB_TEXT_BYTES 478113 /* of all tokens, each with a NUL */
#define CLIP_VOCAB_BOS        49406
#define CLIP_VOCAB_EOS        49407

/* The left and the right token of each merge, by rank. */
extern const uint16_t clip_vocab_merges[2 * CLIP_VOCAB_N_MERGES];

#endif
