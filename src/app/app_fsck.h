/* SPDX-License-Identifier: Apache-2.0 */
/* Checks the installation that the settings name, and repairs it. */
#ifndef FA_APP_FSCK_H
#define FA_APP_FSCK_H

#include "admin/fsck.h"

struct config;

/*
 * repair, quick, tell, progress and ctx of the options are the caller's, the rest is filled in. Without repair a server
 * may be at work; with it not on an embedded catalog (ERR_CONFLICT names its process).
 */
int app_fsck(const struct config *c, struct fsck_opts *o, struct fsck_report *out, struct err *e) MUST_CHECK;

#endif
