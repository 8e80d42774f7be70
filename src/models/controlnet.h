/* controlnet.h - a trainable copy of a UNet's way down that keeps pictures to an outline, a depth
 * map, a pose (Zhang et al., arXiv:2302.05543).
 *
 *     hint = conv_out(silu(... silu(conv_in(picture))))        once per picture
 *     c    = the UNet's way down and middle, from conv_in(x) + hint
 *     skip i of the UNet += weight zero_conv_i(c_i), the middle likewise
 *
 * Source: diffusers, models/controlnets/controlnet.py.
 */
#ifndef LAR_MODELS_CONTROLNET_H
#define LAR_MODELS_CONTROLNET_H

#include "models/unet.h"

struct controlnet {
    struct unet unet; /* its way down; .n_out is 0 */
    struct conv hint_in, hint_out;
    struct conv hint[2 * UNET_MAX_BLOCK]; /* odd ones halve the size */
    int n_hint;
    struct conv zero[UNET_MAX_SKIP], zero_mid;
    int n_zero;
    bool bgr; /* its picture has the channels in this order */
};

/* Is there a ControlNet in the file? */
bool controlnet_present(const struct checkpoint *file);
/* The component "controlnet". The weights stay in the checkpoint, which must outlive it. */
int controlnet_open(struct controlnet *m, const struct checkpoint *file, struct err *e);
void controlnet_close(struct controlnet *m);

/* Can it guide this UNet? ERR_ARG says what differs; `name` is the ControlNet's file. */
int controlnet_check(const struct controlnet *m, const struct unet *u, const char *name,
                     struct err *e);

/* picture [1, H, W, 3] in [0, 1] -> [1, H / 8, W / 8, c]. */
struct tensor *controlnet_hint(struct tape *t, const struct controlnet *m, struct tensor *picture);

/* Records one evaluation and adds weight times its result to `sum`, which is empty (n is 0) or
 * what an earlier one left. `in` as for the UNet, with a hint. */
void controlnet_forward(struct tape *t, const struct controlnet *m, const struct unet_input *in,
                        double weight, struct unet_skips *sum);

#endif
