/* resnet.h - the residual block of UNets and VAEs.
 *
 *     h = conv1(silu(norm1(x)))
 *     h = h + time_emb_proj(emb)            UNets only
 *     h = conv2(silu(norm2(h)))
 *     x = h + (conv_shortcut(x) or x)
 *
 * Source: diffusers, models/resnet.py, ResnetBlock2D.
 */
#ifndef LAR_NN_RESNET_H
#define LAR_NN_RESNET_H

#include "nn/layers.h"

struct resnet {
    struct norm norm1, norm2;
    struct conv conv1, conv2;
    struct conv shortcut; /* .w NULL when the channels stay the same */
    struct linear time;   /* .w NULL in VAEs */
};

struct resnet_params {
    int n_group;
    float eps;
    int64_t n_time; /* width of the time embedding; 0: none */
};

/* Loads below the scope; the number of output channels comes from the file. n_in LOAD_ANY: from the
 * file too. */
void resnet_load(struct loader *l, struct resnet *r, int64_t n_in, const struct resnet_params *p);
int64_t resnet_n_out(const struct resnet *r); /* 0 after a failed load */

/* x [n, h, w, c_in], emb [n, n_time] after SiLU, or NULL -> [n, h, w, c_out]. */
struct tensor *resnet(struct tape *t, const struct resnet *r, struct tensor *x, struct tensor *emb);
/* The same up to where norm2 begins. */
struct tensor *resnet_first(struct tape *t, const struct resnet *r, struct tensor *x,
                            struct tensor *emb);

#endif
