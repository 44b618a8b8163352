/* SPDX-License-Identifier: Apache-2.0 */
/* Backups of the installation that the settings name. */
#ifndef FA_APP_BACKUP_H
#define FA_APP_BACKUP_H

#include "admin/backup.h"

struct config;

/* Catalog and storage of the options are filled in from the settings, all else is the caller's. A server may be at
 * work. */
int app_backup_create(const struct config *c, struct backup_create_opts *o, struct backup_created *out,
                      struct err *e) MUST_CHECK;
int app_backup_verify(const struct backup_verify_opts *o, struct backup_verified *out, struct err *e) MUST_CHECK;
/* The same for data_path, catalog and storage. No server may be at work on this DATA_PATH. */
int app_backup_restore(const struct config *c, struct backup_restore_opts *o, struct backup_restored *out,
                       struct err *e) MUST_CHECK;

#endif
