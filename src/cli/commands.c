/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, from which parsing, help and suggestions come. */
#include "cli/cli_priv.h"

#define END                                                                                                            \
        {                                                                                                              \
                NULL, 0, NULL, NULL                                                                                    \
        }

static const struct cli_option globals[] = {
        {"help", 'h', NULL, "Show this help and exit."},
        {"version", 'V', NULL, "Show the version and exit."},
        {"url", 0, "URL", "URL of the server; default: FILE_ALLOCATOR_URL, or the address in this machine's settings."},
        {"key", 0, "KEY",
         "API key; default: FILE_ALLOCATOR_KEY or, for a server on this machine, the setting API_KEY."},
        {"json", 0, NULL, "Print JSON."},
        {"set", 0, "NAME=VALUE", "Override a setting; may be repeated. \"config docs\" lists them."},
        END,
};

static const struct cli_option no_options[] = {END};

#define SHORTHANDS                                                                                                     \
        {"port", 'p', "N", "Short for --set APP_PORT=N; 0 takes any free port."},                                      \
                {"host", 0, "ADDR", "Short for --set APP_HOST=ADDR."},                                                 \
        {                                                                                                              \
                "data", 'd', "PATH", "Short for --set DATA_PATH=PATH."                                                 \
        }

static const struct cli_option server_options[] = {SHORTHANDS, END};

static const struct cli_option ingest_options[] = {
        {"owner", 'o', "NAME", "Owner (name space) of the files; default: the key's owner, or \"default\"."},
        {"folder", 'f', "NAME", "Put the files into this folder; it is created if it does not exist."},
        {"tags", 't', "A,B", "Tags for every file."},
        {"include", 'i', "GLOB", "Upload only files that match, such as \"*.jpg\"; may be repeated."},
        {"exclude", 'x', "GLOB", "Skip files and folders that match; may be repeated."},
        {"recursive", 'r', NULL, "Enter subfolders (the default)."},
        {"no-recursive", 0, NULL, "Do not enter subfolders."},
        {"hidden", 0, NULL, "Include files and folders whose names begin with a dot."},
        {"again", 0, NULL, "Upload even what the server already has."},
        {"dry-run", 'n', NULL, "Show what would be uploaded, without contacting a server."},
        {"wait", 'w', NULL, "Wait until every file is processed, and report the results."},
        {"jobs", 'j', "N", "Parallel uploads, 1 to 32 (default 4)."},
        {"quiet", 'q', NULL, "Print no line per file and no progress."},
        END,
};

static const struct cli_option search_options[] = {
        {"limit", 'l', "N", "Maximum number of results, 1 to 100."},
        {"threshold", 0, "S", "Minimum similarity, 0 to 1."},
        {"type", 0, "TYPE", "media, json, document, audio or all."},
        {"owner", 'o', "NAME", "Only files of this owner."},
        {"tags", 't', "A,B", "Only files with these tags."},
        {"mode", 'm', "MODE", "hybrid, vector (meaning) or text (words)."},
        END,
};

static const struct cli_option list_options[] = {
        {"name", 0, "TEXT", "Only files whose names contain this."},
        {"owner", 'o', "NAME", "Only files of this owner."},
        {"limit", 'l', "N", "Maximum number of files, 1 to 500 (default 50)."},
        END,
};

static const struct cli_option folders_options[] = {
        {"owner", 'o', "NAME", "Only folders of this owner."},
        {"status", 0, "STATUS", "Only folders with this status: provisional or active."},
        END,
};

static const struct cli_option get_options[] = {
        {"output", 'o', "FILE", "Write to this file; - is standard output."},
        {"force", 0, NULL, "Replace an existing file."},
        {"thumbnail", 't', NULL, "Download the thumbnail instead of the file."},
        {"info", 'i', NULL, "Show what is known about the file instead."},
        END,
};

static const struct cli_option status_options[] = {
        {"wait", 'w', NULL, "Wait until the job is done."},
        END,
};

static const struct cli_option dlq_options[] = {
        {"stage", 0, "STAGE", "list: only failures in this stage."},
        {"limit", 'l', "N", "list: maximum number of entries, 1 to 500 (default 50)."},
        END,
};

static const struct cli_option migrate_options[] = {
        {"from", 0, "URL", "SQLite catalog: its file or its data folder; default: the one in the settings."},
        {"to", 0, "URL", "PostgreSQL database; default: the one in the settings. DB_PASSWORD is its password."},
        {"storage-from", 0, "URL",
         "Where the objects are; default: the folder \"storage\" next to the catalog, or the one in the settings."},
        {"storage-to", 0, "URL",
         "Copy the objects there: s3://bucket/prefix or fs:///folder. Without this they stay where they are."},
        {"verify", 0, NULL, "Read every object at the target again and compare its hash."},
        {"dry-run", 'n', NULL, "Check everything, change nothing."},
        {"jobs", 'j', "N", "Objects copied in parallel, 1 to 32 (default 4)."},
        {"quiet", 'q', NULL, "Print no progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option rebuild_options[] = {
        {"from", 0, "URL",
         "Storage to rebuild from: a folder or s3://bucket/prefix; default: the one in the settings."},
        {"owner", 'o', "NAME", "Owner of files that have no sidecar (default: recovered)."},
        {"dry-run", 'n', NULL, "Do everything without changing anything."},
        {"quiet", 'q', NULL, "Print no progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option fsck_options[] = {
        {"repair", 0, NULL,
         "Repair what can be repaired without guessing. The server of an embedded installation must be stopped."},
        {"quick", 0, NULL, "Check only that objects exist and have the right size; do not read them."},
        {"quiet", 'q', NULL, "Print no progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option backup_options[] = {
        {"backup", 'b', "NAME", "verify: only this backup; restore: this backup instead of the newest complete one."},
        {"keep", 0, "N",
         "create: keep the newest N complete backups; remove older ones, and the objects that only those needed."},
        {"verify", 0, NULL,
         "create: also read the objects that are already in DIR and replace damaged ones; restore --dry-run: read "
         "every byte."},
        {"no-derived", 0, NULL, "create, restore: omit thumbnails and previews."},
        {"dry-run", 'n', NULL, "restore: check that the backup is whole and could be restored; change nothing."},
        {"reuse-objects", 0, NULL, "restore: into a storage that is not empty; intact objects in it stay."},
        {"partial", 0, NULL, "restore: continue without objects that are missing or damaged."},
        {"jobs", 'j', "N", "Objects in parallel, 1 to 32 (default 4)."},
        {"quiet", 'q', NULL, "Print no progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option apikey_options[] = {
        {"scope", 0, "SCOPE", "create: read (the default), write or admin; each includes the ones before it."},
        {"owner", 'o', "NAME", "create: bind the key to this owner; without it the key is for all owners."},
        {"name", 0, "TEXT", "create: a description, to tell keys apart."},
        {"expires", 0, "WHEN", "create: when the key expires: 90d, 12h, or a date such as 2027-01-31; default: never."},
        {"direct", 0, NULL, "create: write the key to the catalog itself, without a server."},
        {"all", 'a', NULL, "list: include revoked keys."},
        SHORTHANDS,
        END,
};

static const struct cli_command commands[] = {
        {"serve", "start the server", "",
         "file-allocator serve\n"
         "file-allocator serve --port 9000 --data /srv/files\n"
         "file-allocator serve --set API_KEY_FILE=/run/secrets/api_key --host 0.0.0.0",
         "On SIGTERM or Ctrl-C the server finishes running work (for at most SHUTDOWN_GRACE) and exits; a second "
         "signal ends it at once.",
         server_options, 0, 0, run_serve},
        {"worker", "process tasks of servers elsewhere", "",
         "file-allocator worker --set DATABASE_URL=postgresql://db/files \\\n"
         "    --set QUEUE_BACKEND=redis --set REDIS_URL=redis://cache\n"
         "file-allocator worker --port 9001 --data /var/lib/file-allocator-worker",
         "A worker needs the settings of the servers: the same PostgreSQL, Redis and storage. \"serve\" has workers of "
         "its own "
         "(WORKER_THREADS); this command adds more, on other hosts. With --port it answers /live, /ready, /health and "
         "/metrics.",
         server_options, 0, 0, run_worker},
        {"ingest", "upload files and folders", "PATH…",
         "file-allocator ingest ~/Pictures\n"
         "file-allocator ingest --folder Holidays --tags beach,2024 img1.jpg img2.jpg\n"
         "file-allocator ingest --include '*.jpg' --exclude 'cache' --wait /data/photos",
         "Run the command again to resume it: it hashes each file and skips what the server already has. "
         "Patterns with a slash are matched against the path below PATH, others against the name. Symbolic links to "
         "folders are not "
         "followed, links to files only within PATH.",
         ingest_options, 1, 1 << 20, run_ingest},
        {"search", "find files by meaning, words and tags", "QUERY…",
         "file-allocator search dog on a beach\n"
         "file-allocator search --type document --limit 3 insurance contract\n"
         "file-allocator search --json sunset",
         NULL, search_options, 1, 1 << 20, run_search},
        {"list", "list files, newest first", "",
         "file-allocator list\n"
         "file-allocator list --name invoice --limit 20",
         NULL, list_options, 0, 0, run_list},
        {"get", "download a file, its thumbnail, or what is known about it", "ID",
         "file-allocator get 01900000-0000-7000-8000-000000000001\n"
         "file-allocator get -o cat.jpg 01900000-0000-7000-8000-000000000001\n"
         "file-allocator get --info 01900000-0000-7000-8000-000000000001",
         "Without -o the file is saved under its own name in the current folder. An existing file is replaced only "
         "with "
         "--force.",
         get_options, 1, 1, run_get},
        {"folders", "list folders", "",
         "file-allocator folders\n"
         "file-allocator folders --status provisional",
         NULL, folders_options, 0, 0, run_folders},
        {"status", "show the progress of a job", "JOB",
         "file-allocator status 01900000-0000-7000-8000-000000000001\n"
         "file-allocator status --wait 01900000-0000-7000-8000-000000000001",
         NULL, status_options, 1, 1, run_status},
        {"dlq", "list, retry or drop tasks that could not be processed", "list|show|retry|retry-all|delete [JOB]",
         "file-allocator dlq list\n"
         "file-allocator dlq retry 01900000-0000-7000-8000-000000000001\n"
         "file-allocator dlq retry-all",
         "Deleting an entry ends the attempts to process the file; the file itself stays stored.", dlq_options, 1, 2,
         run_dlq},
        {"migrate", "upgrade the catalog, or move it to PostgreSQL", "[copy]",
         "file-allocator migrate --dry-run\n"
         "file-allocator migrate copy --from /srv/files --dry-run \\\n"
         "    --to postgresql://files@db.example/files\n"
         "file-allocator migrate copy --from sqlite:////srv/files/catalog.db \\\n"
         "    --to postgresql://files@db.example/files\n"
         "file-allocator migrate copy --data /srv/files --verify \\\n"
         "    --to postgresql://files@db.example/files --storage-to s3://bucket/prefix",
         "Without a subcommand, migrate applies the schema migrations that the first start of a new version would "
         "apply; "
         "--dry-run only lists them and can run beside a server. Code 0: the catalog is up to date, or the list is "
         "printed; 1: the command failed, or there is no catalog. "
         "migrate copy moves an embedded installation to PostgreSQL, and its files to another storage. "
         "Stop the server first. The source is only read. Both sides are compared at the end, and only an equal copy "
         "counts as finished. If the command is interrupted, run it again: it copies what is missing. Code 0: "
         "everything is equal; 3: the "
         "catalogs are equal, but objects are missing or damaged; 1: the copy failed, or something differs.",
         migrate_options, 0, 1, run_migrate},
        {"rebuild", "rebuild a lost catalog from the storage", "",
         "file-allocator rebuild --dry-run\n"
         "file-allocator rebuild --data /srv/files",
         "Stop the server and move away what is left of the catalog: a rebuild needs an empty one. If the command is "
         "interrupted, "
         "run it again: it completes what is missing. Code 0: everything has been restored; 3: there is a "
         "catalog, but something is missing, damaged or without a sidecar; 1: the rebuild failed.",
         rebuild_options, 0, 0, run_rebuild},
        {"backup", "back up files and catalog, check backups, restore them", "create|list|verify|restore DIR",
         "file-allocator backup create /mnt/backup --keep 30\n"
         "file-allocator backup verify /mnt/backup\n"
         "file-allocator backup restore /mnt/backup --dry-run --data /srv/files\n"
         "file-allocator backup restore /mnt/backup --data /srv/files",
         "\"create\" works while the server runs; it copies each file into DIR once, however many backups contain it. "
         "\"restore\" fills the empty installation that the settings name, and can be run again after an interruption. "
         "Exit codes of create: "
         "0 complete; 3 objects were missing at the source; 1 there is no new backup. Of verify: 1 something is "
         "damaged, and named.",
         backup_options, 2, 2, run_backup},
        {"fsck", "check the catalog and the stored objects, and repair them", "",
         "file-allocator fsck\n"
         "file-allocator fsck --quick --json\n"
         "file-allocator fsck --repair --data /srv/files",
         "Checks that the catalog is consistent in itself and with the stored objects, whose hashes are computed "
         "again. Without "
         "--repair nothing is changed and a server may be running; what it changes meanwhile may be reported. A repair "
         "recounts, reindexes, makes thumbnails and previews again and removes leftovers; it deletes no file. Codes: 0 "
         "clean; 3 every problem "
         "has been repaired; 1 problems are left, or the check could not be done.",
         fsck_options, 0, 0, run_fsck},
        {"apikey", "make, list and revoke API keys", "create|list|revoke [ID]",
         "file-allocator apikey create --scope admin --direct\n"
         "file-allocator apikey create --scope read,write --owner ann --expires 90d\n"
         "file-allocator apikey list\n"
         "file-allocator apikey revoke 01900000-0000-7000-8000-000000000001",
         "The key is printed once and kept only as a hash. The first key must be an admin key that is bound to no "
         "owner; "
         "from then on every request needs a key. --direct needs no key and no server: with SQLite the server must not "
         "be running, with PostgreSQL it may.",
         apikey_options, 1, 2, run_apikey},
        {"config", "show, check or document the settings", "show|check|docs",
         "file-allocator config show\n"
         "file-allocator config check --set APP_PORT=9000\n"
         "file-allocator config docs > settings.md",
         NULL, server_options, 1, 1, run_config},
        {"doctor", "check folders, model, decoder and disk without a server", "",
         "file-allocator doctor\n"
         "file-allocator doctor --data /srv/files",
         NULL, server_options, 0, 0, run_doctor},
        {"healthcheck", "query the health of the server; for Docker", "", "file-allocator healthcheck",
         "Exit code 0 for healthy and degraded, 1 for everything else.", no_options, 0, 0, run_health},
        {"version", "show the version", "", "file-allocator version", NULL, no_options, 0, 0, run_version},
        {"help", "show help for a command", "[COMMAND]", "file-allocator help ingest", NULL, no_options, 0, 1,
         run_help},
};

const struct cli_syntax cli_syntax = {commands, COUNT_OF(commands), globals};
