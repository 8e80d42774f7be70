/* clip_tokenizer.h - text to token ids for CLIP's text encoders (SD1.x, SD2.x, SDXL, SD3, FLUX.1).
 *
 * Gives the ids of CLIPTokenizer and CLIPTokenizerFast of transformers 5.23 (tokenizers 0.23),
 * which diffusers runs: tests/text/clip_tokenizer_test.c compares a mixed corpus. Details that
 * other implementations treat differently:
 *
 * - <|endoftext|> inside the text is that token, in exactly this spelling; <|startoftext|> in any
 *   case. A padding token other than these, "!" with SD2.x and SDXL's second encoder, is also
 *   special inside the text: there "!" is id 0, not 256 as in OpenCLIP's own code.
 * - transformers before 5 had a slow CLIPTokenizer which, with the ftfy package installed, repaired
 *   mis-decoded text ("schÃ¶n" -> "schön"), unescaped HTML and straightened curly quotes, as
 *   OpenAI's and OpenCLIP's code still do. This one leaves such text as it is, as the fast one did.
 * - Unicode data is utf8proc's (Debian 12: Unicode 15). Over all code points the ids are the
 *   same but for 98 combining marks newer than Unicode 9, which the reference does not put into
 *   canonical order, and letters newer than Unicode 15, which count as symbols here.
 */
#ifndef LAR_TEXT_CLIP_TOKENIZER_H
#define LAR_TEXT_CLIP_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

struct ckpt_vocab;
struct err;

/* Longer texts are refused, which bounds time and memory (about 200 MB at the worst). */
#define CLIP_TEXT_MAX ((size_t)4 << 20)

/* Read-only once made: any thread may use it. */
struct clip_tokenizer;

/* A vocabulary as it stands in a checkpoint (format/checkpoint.h), in byte-level form ("Ġ" is a
 * space). Negative bos and eos mean the tokens named <|startoftext|> and <|endoftext|>, a negative
 * pad means eos, as CLIP-L has it (OpenCLIP-H and -bigG: 0). `v` may be NULL, which is CLIP's own
 * vocabulary padded with eos; so is n_tokens == 0, with bos, eos and pad taken from v. ERR_FORMAT
 * names the token or merge that is wrong: an empty or double token, one of the 512 byte tokens
 * missing, a merge of or into tokens that are not there. */
int clip_tokenizer_new(struct clip_tokenizer **t, const struct ckpt_vocab *v, struct err *e);
void clip_tokenizer_free(struct clip_tokenizer *t);

/* Stores the first `max` ids of the text, without bos and eos, and returns how many there are in
 * all, or ERR_*. Any bytes are text; broken UTF-8 becomes U+FFFD as with Python's
 * errors="replace". ERR_ARG beyond CLIP_TEXT_MAX, ERR_NOMEM. */
int clip_tokenizer_encode(const struct clip_tokenizer *t, const char *text, size_t len,
                          int32_t *ids, size_t max, struct err *e);

/* The token in byte-level form, borrowed; NULL for an id out of range. */
const char *clip_tokenizer_token(const struct clip_tokenizer *t, int32_t id);
size_t clip_tokenizer_n_vocab(const struct clip_tokenizer *t);
int32_t clip_tokenizer_bos(const struct clip_tokenizer *t);
int32_t clip_tokenizer_eos(const struct clip_tokenizer *t);
int32_t clip_tokenizer_pad(const struct clip_tokenizer *t);

#endif
