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
 *   child  → parent  jail_reply, when the memfd is full:
 *
 *       | jail_entry × entries | bytes of the first entry | of the second | … | end of file
 *
 * Entries have no offsets: their bytes lie in the table's order, back to back,
 * so they cannot overlap and nothing lies between them. They have no names
 * either: an entry says which of the request's wishes it fulfils, and the
 * parent knows that wish's name, media type and shape. The parent trusts
 * nothing in a reply; jail_check_reply has the rules.
 */
#ifndef FA_JAIL_PROTOCOL_H
#define FA_JAIL_PROTOCOL_H

#include <stdint.h>
#include "model/model.h"

#define JAIL_MAGIC        0x4a4c4146u /* "FALJ" */
#define JAIL_VERSION      4
#define JAIL_FD           3
#define JAIL_OUTPUT_MAX   (64u << 20) /* of the memfd */
#define JAIL_ENTRIES_MAX  4096
#define JAIL_META_MAX     (1u << 20)
#define JAIL_NAME_MAX     32 /* with its NUL */
#define JAIL_PRODUCTS_MAX 8
#define JAIL_INPUTS_MAX   4
#define JAIL_SERIES_MAX   1000

/*
 * The media profile opens nothing after the lock; documents may read fonts and character tables, which Landlock
 * permits.
 */
enum jail_profile { JAIL_MEDIA, JAIL_DOCUMENTS };
#define JAIL_PROFILE_NAMES                                                                                             \
        {                                                                                                              \
                "media", "documents"                                                                                   \
        }

/* What the kernel let a child lock. The child reports it before it has read any file, so a file cannot falsify it. */
enum jail_lock {
        JAIL_LOCK_FILES = 1, /* Landlock */
        JAIL_LOCK_CALLS = 2, /* seccomp */
        JAIL_LOCK_ALL = 3,
};

struct jail_hello {
        uint32_t magic, version;
        uint32_t locks; /* enum jail_lock */
};

/* ---- the request ------------------------------------------------------------------ */

/* The code that reads the file. */
enum jail_reader { JAIL_READ_IMAGE, JAIL_READER_COUNT };
/* The format of a product. */
enum jail_type { JAIL_WEBP, JAIL_JPEG, JAIL_TYPE_COUNT };
#define JAIL_TYPE_NAMES                                                                                                \
        {                                                                                                              \
                "image/webp", "image/jpeg"                                                                             \
        }
/* The layout of a model's input. */
enum jail_tensor {
        JAIL_RGB8, /* rows top-down, R G B, a byte each, no padding */
        JAIL_TENSOR_COUNT,
};

/* A file to be made. The wish is unused when the name is "". */
struct jail_product_wish {
        char name[JAIL_NAME_MAX]; /* [a-z0-9.-], as storage_put_derived takes it; a series has one '#' in it */
        uint32_t type;            /* enum jail_type */
        uint32_t size;            /* most pixels of the longer side; nothing is enlarged */
        uint32_t series;          /* 0: exactly one. n: up to n, named by 1, 2, 3 … in place of '#' */
};

/* An input of a model. The wish is unused when the width is 0. */
struct jail_input_wish {
        uint32_t width, height;
        uint32_t crop_num, crop_den; /* central square: side = floor(crop_num*min(w,h)/crop_den) */
        uint32_t tensor;             /* enum jail_tensor */
        uint32_t part;               /* enum part_kind; PART_WHOLE with series 0 only */
        uint32_t series;             /* 0: exactly one, of the whole. n: up to n, of as many parts */
};

struct decode_request {
        uint32_t reader;     /* enum jail_reader */
        uint32_t max_text;   /* most bytes of all text entries together; 0: no text */
        uint64_t max_pixels; /* width*height*pages; refused from the header */
        struct jail_product_wish product[JAIL_PRODUCTS_MAX];
        struct jail_input_wish input[JAIL_INPUTS_MAX];
};

struct jail_request {
        uint32_t magic, serial;
        struct decode_request want;
};

/* ---- the reply --------------------------------------------------------------------- */

enum jail_status { JAIL_OK, JAIL_UNSUPPORTED, JAIL_CORRUPT, JAIL_TOO_LARGE, JAIL_FAILED };

enum jail_entry_kind {
        JAIL_METADATA, /* exactly one: the text of a JSON object */
        JAIL_PRODUCT,
        JAIL_INPUT,
        JAIL_TEXT,
};

/* Fields that have no meaning for an entry's kind are 0. */
struct jail_entry {
        uint32_t kind;         /* enum jail_entry_kind */
        uint32_t wish;         /* product, input: index in the request */
        uint32_t part;         /* input, text: enum part_kind */
        uint32_t position;     /* input, text: among the parts of its kind; ascending */
        uint64_t time_us;      /* input of a frame: since the beginning of the film; ascending */
        uint32_t page, offset; /* text of a page or a chunk: the page's number, the first character's place in it */
        uint64_t length;       /* bytes, never 0 */
};

struct jail_reply {
        uint32_t magic, serial;
        uint32_t status;  /* enum jail_status */
        uint32_t entries; /* in the memfd; the following fields count only with JAIL_OK, error only without */
        uint32_t width, height, pages;
        uint64_t phash;
        char format[16];
        char error[200];
};

#endif
