/* SPDX-License-Identifier: Apache-2.0 */
/* labels.json from a stranger's folder, then tagging with it: few tags, in order, each a name of that file. */
#include <math.h>
#include "embed/embed_priv.h"
#include "fuzz.h"

static void tag(const struct labels *l, unsigned turn)
{
        size_t n = labels_classes(l);
        struct embed_image_result r = {0};
        struct err e;
        float *probs = malloc(n * sizeof *probs);
        demand(n > 0 && probs);
        for (size_t i = 0; i < n; i++) /* one sure class; all alike; what a broken model may give */
                probs[i] = turn == 0 ? i == n / 2 : turn == 1 ? 1.0f / (float)n : turn == 2 ? NAN : 2.0f;
        demand(labels_tag(l, probs, &r, &e) == 0);
        demand(r.ntags <= EMBED_MAX_TAGS && r.sure >= 0 && r.sure <= 1);
        for (size_t i = 0; i < r.ntags; i++) {
                demand(r.tags[i].name && r.tags[i].confidence <= 1);
                demand(i == 0 || !(r.tags[i - 1].confidence < r.tags[i].confidence));
                demand(!r.tags[i].category || labels_is_category(l, r.tags[i].name));
        }
        free(probs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct labels *l = NULL;
        struct err e = {0};
        if (labels_parse((struct span){(const char *)data, size}, &l, &e)) {
                demand(e.code != ERR_NONE && e.msg[0]);
                return 0;
        }
        for (unsigned turn = 0; turn < 4; turn++)
                tag(l, turn);
        labels_close(l);
        return 0;
}
