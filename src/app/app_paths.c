/* SPDX-License-Identifier: Apache-2.0 */
/* Where our own files are: relative to the executable, so that a build tree, an installed tree and an image work alike.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app_priv.h"

void app_paths_find(struct app_paths *p)
{
        char exe[400];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        if (n < 0)
                n = 0;
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        if (slash)
                *slash = '\0';
        snprintf(p->decoder, sizeof p->decoder, "%s/file-allocator-decode", exe);
        slash = strrchr(exe, '/');
        if (slash)
                *slash = '\0';
        snprintf(p->share, sizeof p->share, "%s/share/file-allocator", exe);
        snprintf(p->lib, sizeof p->lib, "%s/lib/file-allocator", exe);
}

void app_model_dir(const struct config *c, const struct app_paths *p, char *out, size_t n)
{
        if (strchr(c->embedding_model, '/'))
                snprintf(out, n, "%s", c->embedding_model);
        else
                snprintf(out, n, "%s/models/%s", p->share, c->embedding_model);
}
