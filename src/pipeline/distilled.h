/* distilled.h - models distilled to few steps, told by their names.
 *
 *     Turbo       Euler, trailing                                 4 steps
 *     LCM         LCM's own sampler and steps                     4 steps
 *     Lightning   Euler, trailing (Lin et al., 2024)              the steps in the name, else 4
 *     Hyper       DDIM, trailing; one step: TCD (Ren et al., 2024: Hyper-SD)
 *                                                                 the steps in the name, else 8
 *
 * All without guidance, but for Hyper's "CFG" files. Their authors' recommendations.
 */
#ifndef LAR_PIPELINE_DISTILLED_H
#define LAR_PIPELINE_DISTILLED_H

#include <stdbool.h>

struct image_defaults;

enum distilled_kind {
    DISTILLED_NOT,
    DISTILLED_TURBO,
    DISTILLED_LCM,
    DISTILLED_LIGHTNING,
    DISTILLED_HYPER
};

struct distilled {
    enum distilled_kind kind;
    int steps;        /* that the name says: "4step", "8-steps"; 0: none */
    bool guided;      /* works with guidance: Hyper's "CFG" files */
    bool predicts_x0; /* Lightning's "1step_x0" */
};

/* What a name of a file or in its metadata tells, in any case. "hyper" counts only as a word of its
 * own ("v51HyperVAE", "hyper_sd"), not in "hyperrealism". */
struct distilled distilled_from_name(const char *name);

/* Sets steps, guidance, sampler and schedule; DISTILLED_NOT leaves them. */
void distilled_defaults(const struct distilled *d, struct image_defaults *out);

#endif
