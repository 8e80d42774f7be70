/* canny.h - edges, as ControlNets for edges were trained on (Canny, 1986), pixel for pixel those of
 * OpenCV's cv2.Canny(picture, low, high).
 *
 *     gradients: Sobel 3x3 of each channel, the border repeated; of the channels the steepest
 *     thinning:  a pixel stays where |dx| + |dy| has its maximum across the edge
 *     hysteresis: above `high` it is an edge; above `low` too when it touches one
 *
 * There is no smoothing before: cv2.Canny does none, and neither do those who prepare pictures for
 * ControlNets.
 */
#ifndef LAR_FORMAT_CANNY_H
#define LAR_FORMAT_CANNY_H

struct err;
struct picture;

#define CANNY_MAX 2040 /* the steepest |dx| + |dy| */

/* An RGB picture becomes white edges on black. 0 <= low <= high. */
int picture_canny(struct picture *p, int low, int high, struct err *e);

#endif
