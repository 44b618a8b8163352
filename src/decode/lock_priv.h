/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes from the decoder, step by step, every right that reading a picture does not need. main.c calls these
 * functions in the order in which they are declared here and gives the reasons. The process can undo none of it
 * afterwards.
 *
 * Where the kernel does not offer Landlock or seccomp, that step does nothing and leaves its bit of *locks (enum
 * jail_lock) unset; where the kernel offers them and then refuses, the step fails and the decoder does not start.
 */
#ifndef FA_DECODE_LOCK_PRIV_H
#define FA_DECODE_LOCK_PRIV_H

#include "base/base.h"
#include "jail/protocol.h"

/*
 * Becomes the user nobody when run by root; drops all capabilities and any way to gain one, forbids core dumps, and
 * keeps other processes of the same user from inspecting it.
 */
int lock_identity(struct err *e) MUST_CHECK;
/*
 * Landlock: only the system's libraries, and the files that the profile keeps, can be opened, and only for reading.
 * Applies to this thread and later ones.
 */
int lock_files(enum jail_profile profile, unsigned *locks, struct err *e) MUST_CHECK;
/*
 * The same again for the profile once the libraries are loaded: a document's decoder keeps fonts and character tables
 * and loses the libraries. Does nothing for media, for which seccomp permits no open at all.
 */
int lock_files_of(enum jail_profile profile, struct err *e) MUST_CHECK;
/* Limits memory, descriptors, file size and threads; and CPU time to cpu_seconds from now on. */
int lock_limits(unsigned cpu_seconds, struct err *e) MUST_CHECK;
/*
 * seccomp, in all threads: permits arithmetic, memory, threads and the open descriptors; for documents, where
 * Landlock restricts it, also opening for reading.
 */
int lock_calls(enum jail_profile profile, unsigned *locks, struct err *e) MUST_CHECK;

#endif
