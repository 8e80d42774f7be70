/* tokenizer_json.h - inside of reading a tokenizer.json: helpers of its files. */
#ifndef LAR_TEXT_TOKENIZER_JSON_H
#define LAR_TEXT_TOKENIZER_JSON_H

#include "text/tokenizer_parts.h"

struct json_t;

/* Members of an object. Absent or null: the default, "" for texts. A wrong type counts as absent
 * where the reference would refuse it, too; what matters is checked by its user. */
struct span json_text(const struct json_t *object, const char *key);
bool json_flag(const struct json_t *object, const char *key, bool otherwise);

/* Its parts "normalizer", "pre_tokenizer" and "decoder"; NULL or null is none of it. Texts are
 * copied into the arena. ERR_UNSUPPORTED names a type that is unknown. */
int steps_read_normalizer(struct tokenizer *t, const struct json_t *normalizer, struct err *e);
int steps_read_splitter(struct tokenizer *t, const struct json_t *pre_tokenizer, struct err *e);
int steps_read_decoder(struct tokenizer *t, const struct json_t *decoder, struct err *e);

/* tokenizer_from_json() of parsed files; `config` may be NULL. */
int tokenizer_from_root(struct tokenizer **t, const struct json_t *root,
                        const struct json_t *config, struct err *e);

#endif
