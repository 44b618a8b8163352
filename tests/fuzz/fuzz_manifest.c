/* SPDX-License-Identifier: Apache-2.0 */
/* model.json from a stranger's folder: what is taken names files inside that folder and has numbers that can be used.
 */
#include <ctype.h>
#include <math.h>
#include "embed/embed_priv.h"
#include "fuzz.h"

static void check_file(const char *name)
{
        demand(memchr(name, '\0', NAME_LEN) && *name && *name != '/' && !strstr(name, ".."));
}

static void check_calibration(const struct calibration *c)
{
        demand(c->identity || (c->a > 0 && isfinite(c->a) && isfinite(c->b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct manifest m;
        struct err e = {0};
        if (manifest_parse((struct span){(const char *)data, size}, &m, &e)) {
                demand(e.code != ERR_NONE && e.msg[0]);
                return 0;
        }
        demand(m.dim >= 1 && m.dim <= 2048 && m.max_tokens >= 2 && m.max_tokens <= 4096);
        demand(m.nfiles >= 1 && m.nfiles <= MANIFEST_MAX_FILES);
        for (size_t i = 0; i < m.nfiles; i++)
                check_file(m.files[i].name);
        check_file(m.image_file);
        check_file(m.text_file);
        check_file(m.vocab_file);
        if (m.image_probs[0])
                check_file(m.labels_file);
        demand(m.spec.width && m.spec.height && m.spec.crop_num && m.spec.crop_num <= m.spec.crop_den);
        for (size_t i = 0; i < 3; i++)
                demand(isfinite(m.mean[i]) && isfinite(m.std[i]) && m.std[i] != 0);
        for (const char *p = m.id; *p; p++) /* becomes a file's name */
                demand(isalnum((unsigned char)*p) || *p == '.' || *p == '-');
        demand(m.id[0] && m.id[0] != '.');
        check_calibration(&m.image_image);
        check_calibration(&m.text_image);
        return 0;
}
