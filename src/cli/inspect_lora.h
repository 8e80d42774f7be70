/* inspect_lora.h - what `lar inspect` says of a LoRA file. */
#ifndef LAR_CLI_INSPECT_LORA_H
#define LAR_CLI_INSPECT_LORA_H

#include <stdbool.h>

struct json_t;

/* {"for": "SD 1.x", "kind": "LoRA", "rank": [4], "alpha": [4], "modules": {"unet": 128}, "words":
 * [...], ...} of a file; NULL when it is no LoRA. With `hash` also the id that A1111 shows. The
 * caller owns the reference. */
struct json_t *inspect_lora(const char *path, bool hash);

#endif
