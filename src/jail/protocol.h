/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What parent and decoder say to each other over a SOCK_SEQPACKET socketpair
 * (the child's end is fd 3). Both are built from this file, so the structs
 * travel as they are; magic and version catch a mismatched pair of programs.
 *
 *   argv[1]                                              seconds of CPU time for all the child's files together
 *   argv[2]                                              "media" or "documents": what it may open after the lock
 *   child  → parent  jail_hello                          once, after warm-up, locked in
 *   parent → child   jail_request + 2 fds (input, memfd)
 *   child  → parent  jail_reply; products lie in the memfd, back to back
 *
 * The parent trusts nothing in a reply: lengths are checked against the memfd's
 * real size, dimensions against what was asked.
 */
#ifndef FA_JAIL_PROTOCOL_H
#define FA_JAIL_PROTOCOL_H

#include <stdint.h>

#define JAIL_MAGIC      0x4a4c4146u /* "FALJ" */
#define JAIL_VERSION    3
#define JAIL_FD         3
#define JAIL_OUTPUT_MAX (64u << 20)

/* Media opens nothing after the lock; documents read fonts and tables of characters, which Landlock guards. */
enum jail_profile { JAIL_MEDIA, JAIL_DOCUMENTS };
#define JAIL_PROFILE_NAMES                                                                                             \
        {                                                                                                              \
                "media", "documents"                                                                                   \
        }

/* What the kernel let a child lock. It tells before it has read any file, so a file cannot make it lie. */
enum jail_lock {
        JAIL_LOCK_FILES = 1, /* Landlock */
        JAIL_LOCK_CALLS = 2, /* seccomp */
        JAIL_LOCK_ALL = 3,
};

struct jail_hello {
        uint32_t magic, version;
        uint32_t locks; /* enum jail_lock */
};

struct jail_request {
        uint32_t magic, serial;
        uint64_t max_pixels;
        uint32_t thumb_size, preview_size;
        uint32_t model_width, model_height, crop_num, crop_den;
};

enum jail_status { JAIL_OK, JAIL_UNSUPPORTED, JAIL_CORRUPT, JAIL_TOO_LARGE, JAIL_FAILED };

struct jail_reply {
        uint32_t magic, serial;
        uint32_t status; /* enum jail_status */
        uint32_t width, height, pages;
        uint64_t phash;
        char format[16];
        uint32_t rgb_len, thumb_len, preview_len, meta_len; /* in this order in the memfd */
        char error[200];
};

#endif
