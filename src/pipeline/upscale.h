/* upscale.h - a picture, enlarged by a network, whatever its size.
 *
 * The network sees tiles that overlap by what a pixel depends on (at most 24 pixels), so that
 * memory does not grow with the picture and no seam is seen:
 *
 *     tile i sees    [.. core i ..]      pad on either side, from the picture itself
 *     tile i + 1          [.. core i + 1 ..]
 */
#ifndef LAR_PIPELINE_UPSCALE_H
#define LAR_PIPELINE_UPSCALE_H

#include "tensor/dtype.h"

#include <stdatomic.h>

struct backend;
struct err;
struct esrgan;
struct picture;

struct upscale_request {
    const struct picture *picture; /* RGB, or RGBA: alpha is scaled as resize.h does it */
    enum dtype precision;          /* of activations: DTYPE_F32 or DTYPE_BF16 */
    int tile;                      /* most pixels of the picture on a tile's side; 0: 240 */
    /* After each tile; a non-zero result ends the request with that code. May be NULL. */
    int (*on_progress)(int done, int total, void *ctx);
    void *ctx;
    const atomic_bool *cancel; /* or NULL */
};

/* `out` becomes the picture at m->scale times its width and height; it is empty on failure. */
int upscale(const struct esrgan *m, struct backend *b, const struct upscale_request *r,
            struct picture *out, struct err *e);

#endif
