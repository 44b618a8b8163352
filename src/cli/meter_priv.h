/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line of a long command. */
#ifndef FA_CLI_METER_PRIV_H
#define FA_CLI_METER_PRIV_H

#include "base/base.h"

struct meter {
        bool on, drawn;
        struct mono start;
        const char *what; /* the step at hand */
        struct mono next; /* no step is drawn before */
};
struct meter_state {
        size_t files_done, files;
        uint64_t bytes_done, bytes, bytes_sent; /* done: sent or skipped, with what is under way */
};
void meter_init(struct meter *m, bool quiet);
void meter_draw(struct meter *m, const struct meter_state *s);
/* One step of several, total 0: unknown; what is told apart by its address. Cheap when called often. */
void meter_step(struct meter *m, const char *what, uint64_t done, uint64_t total);
void meter_note(struct meter *m, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a line of its own in the meter's place */
void meter_erase(struct meter *m);                                        /* before anything else is printed */

#endif
