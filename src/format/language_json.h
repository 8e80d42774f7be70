/* language_json.h - config.json of a language model, whatever version of transformers wrote it: for
 * language_gguf.h. Nothing is checked here; who reads the converted file does.
 */
#ifndef LAR_FORMAT_LANGUAGE_JSON_H
#define LAR_FORMAT_LANGUAGE_JSON_H

struct checkpoint;

struct json_t;
struct language_json {
    struct json_t *root;       /* owned by who opened it */
    const struct json_t *text; /* the decoder's part of it */
    const struct json_t *rope; /* rope_parameters, rope_scaling, or NULL */
    const char *arch;
};
/* An absent or broken file gives zeros. */
void language_json_open(struct language_json *k, const struct checkpoint *c);
void language_json_close(struct language_json *k);
/* The first of the two keys that is a number, or 0; `old` may be NULL. */
double language_json_number(const struct language_json *k, const char *key, const char *old);
double language_json_head(const struct language_json *k); /* elements of a head; 0: nonsense */
int language_json_rotated(const struct language_json *k); /* of these, with positions */
double language_json_theta(const struct language_json *k);
const char *language_json_scaling(const struct language_json *k); /* "default", "yarn", ... */

#endif
