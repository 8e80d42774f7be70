/* esrgan.h - networks that enlarge pictures: ESRGAN and Real-ESRGAN.
 *
 *     RRDBNet (Wang et al., arXiv:1809.00219)            SRVGGNetCompact (arXiv:2107.10833)
 *       f = conv_first(x)                                  y = conv, PReLU, conv, PReLU, ..., conv
 *       f = f + conv_body(blocks(f))                       y = pixel_shuffle(y) + nearest(x)
 *       twice: f = lrelu(conv_up(nearest(f)))
 *       y = conv_last(lrelu(conv_hr(f)))
 *
 *     block: three dense blocks, each five convolutions that see all results before them; what a
 *     block or dense block adds counts 0.2. A network for less than its doublings shrinks the
 *     picture first by moving pixels into channels.
 *
 * Which one, its widths and its scale follow from the tensors. Source: BasicSR,
 * basicsr/archs/{rrdbnet,srvgg}_arch.py.
 */
#ifndef LAR_MODELS_ESRGAN_H
#define LAR_MODELS_ESRGAN_H

#include "base/arena.h"
#include "nn/layers.h"

struct checkpoint;

#define ESRGAN_MAX_UP    3
#define ESRGAN_MAX_BLOCK 64
#define ESRGAN_MAX_CONV  64

struct esrgan_dense {
    struct conv conv[5];
};

struct esrgan {
    struct arena arena;
    int scale;     /* pixels out per pixel in, each way: 1 .. 8 */
    int unshuffle; /* width and height of the input must be multiples: 1, 2 or 4 */
    int reach;     /* a pixel out depends on at most so many pixels in around it */
    int n_block;   /* RRDBNet; 0: compact */
    struct esrgan_dense dense[ESRGAN_MAX_BLOCK][3];
    struct conv first, body, up[ESRGAN_MAX_UP], hr, last;
    int n_up;
    int n_conv; /* compact: convolutions, a slope behind each but the last */
    struct conv conv[ESRGAN_MAX_CONV];
    struct tensor *slope[ESRGAN_MAX_CONV]; /* [c] */
};

/* Has the checkpoint the component "upscaler"? */
bool esrgan_present(const struct checkpoint *file);

/* The weights stay in the checkpoint, which must outlive the model. */
int esrgan_open(struct esrgan *m, const struct checkpoint *file, struct err *e);
void esrgan_close(struct esrgan *m);

/* x [n, h, w, 3] in [0, 1] -> [n, scale h, scale w, 3], about [0, 1]. */
struct tensor *esrgan_forward(struct tape *t, const struct esrgan *m, struct tensor *x);

#endif
