/* control.h - the ControlNets of a request: opened, their pictures turned into hints once, recorded
 * before the UNet in the steps in which they act.
 */
#ifndef LAR_PIPELINE_CONTROL_H
#define LAR_PIPELINE_CONTROL_H

#include "models/controlnet.h"
#include "tensor/dtype.h"

#include <stdatomic.h>

struct backend;
struct checkpoint;
struct err;
struct image_model;
struct picture;

#define CONTROL_MAX 8

/* Everything is borrowed. Start from CONTROL_DEFAULTS. */
struct imagine_control {
    const struct checkpoint *file;
    const struct picture *picture; /* what the net was trained on: edges, depth, a pose, ...; scaled
                                      and cropped to fit */
    double weight;                 /* 0: no effect */
    double start, end; /* the part of the steps in which it acts; 0 <= start < end <= 1 */
    bool canny;        /* `picture` is any picture: its edges are found first */
    int low, high;     /* canny's thresholds, 0 .. 1020 */
};
#define CONTROL_DEFAULTS                               \
    {                                                  \
        .weight = 1, .end = 1, .low = 100, .high = 200 \
    }

struct control_net {
    const struct imagine_control *r;
    struct controlnet net;
    float *hint;       /* owned; [h, w, c] */
    struct tensor *in; /* its place on the tape, NULL while the net does not act */
};

struct control {
    struct control_net nets[CONTROL_MAX];
    int n;
    struct tensor *latent; /* [n, h, w, c] on the tape, for a UNet that takes more (inpainting) */
};

struct control_request {
    const struct image_model *m;
    const struct imagine_control *controls;
    int n;
    int h, w; /* of the latent */
    enum dtype precision;
    enum wrap wrap;            /* as the picture's */
    const atomic_bool *cancel; /* or NULL */
};

/* ERR_ARG for values out of range and nets made for other models, and what opening and running
 * give. control_release() in every case; a zeroed struct has no nets. */
int control_open(struct control *c, struct backend *b, const struct control_request *r,
                 struct err *e);
void control_release(struct control *c);

/* The nets that act in evaluation `step` of `n_steps`: bit i is nets[i]. */
unsigned control_active(const struct control *c, int step, int n_steps);
/* Those that act in any. */
unsigned control_all(const struct control *c);

/* Records the nets in `active`, for the UNet's inputs `in`; returns what in->control shall be: the
 * sum, kept in `sum`, or NULL when none acts. */
const struct unet_skips *control_record(struct control *c, struct tape *t,
                                        const struct unet_input *in, unsigned active,
                                        struct unet_skips *sum);
/* After tape_plan(): writes the hints. */
void control_fill(const struct control *c);
/* Before each run of a UNet that takes more channels than the latent: the latent [h, w, c]. */
void control_latent(const struct control *c, const float *latent);

#endif
