/* SPDX-License-Identifier: Apache-2.0 */
/* What the tokenizer knows of Unicode; data made by tools/make-unicode-tables. Only for src/embed. */
#ifndef FA_UNICODE_TABLES_PRIV_H
#define FA_UNICODE_TABLES_PRIV_H

#include <stddef.h>
#include <stdint.h>

struct unicode_range {
        uint32_t first, last;
};

/*
 * n code points from first on. to >= 0: they become to, to+1, …; -1: they
 * vanish; -2-i: unicode_fold_several[i], ended by 0 when shorter than three.
 */
struct unicode_fold {
        uint32_t first;
        uint16_t n;
        int32_t to;
};

extern const struct unicode_range unicode_removed[], unicode_space[], unicode_cjk[], unicode_punct[];
extern const size_t unicode_removed_count, unicode_space_count, unicode_cjk_count, unicode_punct_count;
extern const struct unicode_fold unicode_folds[];
extern const size_t unicode_folds_count;
extern const uint32_t unicode_fold_several[][3];

#endif
