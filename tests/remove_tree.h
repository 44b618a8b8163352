/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with all that is in it is removed; what cannot be removed stays. Symbolic links are not followed. */
#ifndef FA_TESTS_REMOVE_TREE_H
#define FA_TESTS_REMOVE_TREE_H

#include <ftw.h>
#include <stdio.h>

static inline int remove_tree_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        (void)st, (void)kind, (void)at;
        return remove(path);
}

/* 0, or what nftw says. */
static inline int remove_tree(const char *path)
{
        return nftw(path, remove_tree_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
