/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking from the decoder, step by step, whatever reading a picture does not
 * need. main.c calls these in the order in which they stand here and says why
 * between them. Nothing of it can be undone by the process afterwards.
 *
 * Where the kernel does not offer Landlock or seccomp that step does nothing
 * and leaves its bit of *locks (enum jail_lock) unset; where it offers them and
 * then refuses, the step fails and the decoder does not start.
 */
#ifndef FA_DECODE_LOCK_PRIV_H
#define FA_DECODE_LOCK_PRIV_H

#include "base/base.h"
#include "jail/protocol.h"

/* Nobody, where we were root; no capability, no way to gain one, no core, nothing to look at for others of our user. */
int lock_identity(struct err *e) MUST_CHECK;
/* Landlock: of all files only the system's libraries, and what the profile keeps, can be opened, to be read. Covers
 * this thread and later ones. */
int lock_files(enum jail_profile profile, unsigned *locks, struct err *e) MUST_CHECK;
/*
 * The same again once the libraries are loaded, for the profile: a document's
 * decoder keeps fonts and tables of characters and loses the libraries. Does
 * nothing for media, to which seccomp leaves no open at all.
 */
int lock_files_of(enum jail_profile profile, struct err *e) MUST_CHECK;
/* Memory, descriptors, file size, threads; cpu_seconds from now on. */
int lock_limits(unsigned cpu_seconds, struct err *e) MUST_CHECK;
/* seccomp, in all threads: what is left is arithmetic, memory, threads and the descriptors at hand; for documents,
 * where Landlock stands behind it, opening to read as well. */
int lock_calls(enum jail_profile profile, unsigned *locks, struct err *e) MUST_CHECK;

#endif
