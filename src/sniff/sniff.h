/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bytes are, from the first 4 KiB and, where a format needs it, the
 * last 64 KiB. Pure and total: any bytes give an answer. The name and the
 * client's Content-Type only break ties between formats that share bytes
 * (text kinds, ZIP kinds).
 */
#ifndef FA_SNIFF_H
#define FA_SNIFF_H

#include "base/base.h"

#define SNIFF_HEAD 4096
#define SNIFF_TAIL 65536

enum sniff_kind { SNIFF_IMAGE, SNIFF_VIDEO, SNIFF_AUDIO, SNIFF_DOCUMENT, SNIFF_JSON, SNIFF_FILE };

struct sniff_type {
        enum sniff_kind kind;
        const char *mime;      /* static storage, e.g. "image/jpeg"; "application/octet-stream" when unknown */
        const char *extension; /* without the dot, may be "" */
};

struct sniff_input {
        struct span head; /* up to SNIFF_HEAD bytes from the start */
        struct span tail; /* up to SNIFF_TAIL bytes from the end (may overlap head, may be empty) */
        uint64_t size;
        struct span name;         /* file name, a hint only */
        struct span content_type; /* what the client said, a hint only */
};

struct sniff_type sniff(const struct sniff_input *in);

#endif
