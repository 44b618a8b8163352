/* SPDX-License-Identifier: Apache-2.0 */
/* A reply the parent accepts keeps its promises, whatever bytes the decoder sent. */
#include <stdlib.h>
#include <string.h>
#include "jail/jail_priv.h"

static void demand(bool holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct jail_request req = {.magic = JAIL_MAGIC, .max_pixels = 1000000};
        struct jail_reply r;
        struct err e;
        uint64_t memfd;
        /* the file: wanted sizes, size of the memory file, then the reply */
        if (size < 12 + sizeof memfd)
                return 0;
        req.thumb_size = data[0];
        req.preview_size = data[1];
        req.model_width = data[2];
        req.model_height = data[3];
        memcpy(&req.serial, data + 4, 4);
        memcpy(&memfd, data + 12, sizeof memfd);
        data += 12 + sizeof memfd;
        size -= 12 + sizeof memfd;
        memset(&r, 0, sizeof r);
        memcpy(&r, data, size < sizeof r ? size : sizeof r);
        if (jail_check_reply(&r, size, &req, memfd, &e) || r.status != JAIL_OK)
                return 0;
        demand(size == sizeof r && memfd <= JAIL_OUTPUT_MAX);
        demand((uint64_t)r.rgb_len + r.thumb_len + r.preview_len + r.meta_len == memfd);
        demand(r.rgb_len == 3u * req.model_width * req.model_height);
        demand(r.width && r.height && (uint64_t)r.width * r.height <= req.max_pixels);
        demand(memchr(r.format, 0, sizeof r.format) != NULL);
        return 0;
}
