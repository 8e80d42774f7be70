/* sampling.h - the part of `lar draw`'s settings that says from which noise a picture starts and
 * which way it takes: seeds, variation, sampler, schedule. */
#ifndef LAR_CLI_SAMPLING_H
#define LAR_CLI_SAMPLING_H

#include "cli/seeds.h"
#include "pipeline/schedule.h"

struct distilled;
struct err;
struct imagine_request;
struct options;
struct recipe;

struct sampling {
    struct seeds seeds; /* of --seed, or one of the recipe, or a random one */
    uint64_t variation;
    double variation_strength;         /* 0: none */
    double sigmas[SCHEDULE_MAX_STEPS]; /* of --sigmas or the recipe */
    int n_sigmas;                      /* 0: none */
};

/* Where settings come from: the options first, then the recipe of the picture `from_path` (NULL:
 * none; the recipe is all unknown then). */
struct sampling_source {
    const struct options *o;
    const struct recipe *from;
    const char *from_path;
};

/* What needs no model. ERR_ARG names the option, or the picture with the recipe. */
int sampling_read(struct sampling *s, const struct sampling_source *from, struct err *e);
void sampling_release(struct sampling *s);

/* The number of pictures. */
int sampling_n_pictures(const struct sampling *s, const struct options *o);

/* Fills the request's fields of these things, over the defaults that it has. A model distilled to
 * few steps keeps its schedule with any sampler. It borrows from `s`. */
int sampling_request(const struct sampling *s, const struct sampling_source *from,
                     const struct distilled *d, struct imagine_request *r, struct err *e);

#endif
