/* SPDX-License-Identifier: Apache-2.0 */
/* Values of settings: the first byte chooses one of the table, the rest is its value. What is taken keeps the limits.
 */
#include <math.h>
#include "config/config_priv.h"
#include "fuzz.h"

static bool is_whole(enum setting_type t)
{
        return t == SETTING_INT || t == SETTING_CORES || t == SETTING_COUNT || t == SETTING_SIZE || t == SETTING_DUR;
}

static int64_t whole(const struct config *c, const struct setting *s)
{
        int64_t v; /* struct dur is one too */
        memcpy(&v, (const char *)c + s->offset, sizeof v);
        return v;
}

static void check_whole(struct config *c, const struct setting *s)
{
        int64_t v = whole(c, s), least, greatest;
        demand(setting_store(s, c, s->least));
        least = whole(c, s);
        demand(setting_store(s, c, s->greatest));
        greatest = whole(c, s);
        demand(v >= least && v <= greatest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct config c = {0};
        struct buf allowed;
        if (size < 1)
                return 0;
        const struct setting *s = &config_table[data[0] % CONFIG_COUNT];
        char *text = exact_copy((struct span){(const char *)data + 1, size - 1});
        struct span bare = config_strip_comment(span_of(text));
        demand(bare.n <= size - 1 && (bare.n == 0 || (bare.p >= text && bare.p[0] != ' ')));
        c.mem = arena_new(1 << 20);
        demand(c.mem != NULL);
        if (setting_store(s, &c, text)) {
                double f;
                memcpy(&f, (const char *)&c + s->offset, sizeof f);
                if (is_whole(s->type))
                        check_whole(&c, s);
                if (s->type == SETTING_FLOAT)
                        demand(isfinite(f));
        } else {
                buf_init(&allowed, 4096);
                setting_allowed(s, &allowed);
                demand(allowed.n > 0 && !buf_failed(&allowed));
                buf_done(&allowed);
        }
        arena_free(c.mem);
        free(text);
        return 0;
}
