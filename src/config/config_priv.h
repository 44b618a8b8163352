/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings and the reading of single values. */
#ifndef FA_CONFIG_PRIV_H
#define FA_CONFIG_PRIV_H

#include "config/config.h"

#define CONFIG_VALUE_MAX 65536

enum setting_type {
        SETTING_STR,
        SETTING_SECRET,
        SETTING_URL,
        SETTING_LIST,
        SETTING_ENUM,
        SETTING_BOOL,
        SETTING_INT,
        SETTING_CORES,
        SETTING_COUNT,
        SETTING_SIZE,
        SETTING_FLOAT,
        SETTING_DUR,
};

struct setting {
        const char *name;
        enum setting_type type;
        size_t offset; /* of the field in struct config */
        const char *def, *least, *greatest, *help;
};

extern const struct setting config_table[CONFIG_COUNT];

/* Values that are, or may hold, a secret: never quoted, and looked for among the secret files. */
bool setting_is_secret(const struct setting *s);
/* True for types whose values never hold a '#' or blanks at their ends. */
bool setting_is_word(const struct setting *s);
/* What a value may be, in words: "a whole number from 0 to 65535". */
void setting_allowed(const struct setting *s, struct buf *out);
/* Write text, NUL-terminated and living as long as c, into the field; false when it is not allowed. */
bool setting_store(const struct setting *s, struct config *c, const char *text);
/* text without what follows a '#' after a blank, and without blanks at its ends. */
struct span config_strip_comment(struct span text);

#endif
