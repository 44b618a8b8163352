/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, from which parsing, help and suggestions come. */
#include "cli/cli_priv.h"

#define END                                                                                                            \
        {                                                                                                              \
                NULL, 0, NULL, NULL                                                                                    \
        }

static const struct cli_option globals[] = {
        {"help", 'h', NULL, "Show help and leave."},
        {"version", 'V', NULL, "Show the version and leave."},
        {"url", 0, "URL", "Server to talk to; else FILE_ALLOCATOR_URL, else the address in this machine's settings."},
        {"key", 0, "KEY", "API key; else FILE_ALLOCATOR_KEY, else, for a server on this machine, the API_KEY setting."},
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
        {"owner", 'o', "NAME", "Name space the files go to; else the key's, else \"default\"."},
        {"folder", 'f', "NAME", "Put the files into this folder, created if new."},
        {"tags", 't', "A,B", "Tags to give to every file."},
        {"include", 'i', "GLOB", "Only files that match, as \"*.jpg\"; may be repeated."},
        {"exclude", 'x', "GLOB", "No files or folders that match; may be repeated."},
        {"recursive", 'r', NULL, "Enter folders within folders: the default."},
        {"no-recursive", 0, NULL, "Stay out of folders within folders."},
        {"hidden", 0, NULL, "Also files and folders whose names begin with a dot."},
        {"again", 0, NULL, "Upload also what the server has already."},
        {"dry-run", 'n', NULL, "Show what would be uploaded; talks to no server."},
        {"wait", 'w', NULL, "Wait until every file is processed, and tell how it went."},
        {"jobs", 'j', "N", "Parallel uploads, 1 to 32 (4)."},
        {"quiet", 'q', NULL, "No line per file, no progress."},
        END,
};

static const struct cli_option search_options[] = {
        {"limit", 'l', "N", "At most so many results, 1 to 100."},
        {"threshold", 0, "S", "Least similarity, 0 to 1."},
        {"type", 0, "TYPE", "media, json, document, audio or all."},
        {"owner", 'o', "NAME", "Only files of this owner."},
        {"tags", 't', "A,B", "Only files with these tags."},
        {"mode", 'm', "MODE", "hybrid, vector (meaning) or text (words)."},
        END,
};

static const struct cli_option list_options[] = {
        {"name", 0, "TEXT", "Only names that contain this."},
        {"owner", 'o', "NAME", "Only files of this owner."},
        {"limit", 'l', "N", "At most so many files, 1 to 500 (50)."},
        END,
};

static const struct cli_option folders_options[] = {
        {"owner", 'o', "NAME", "Only folders of this owner."},
        {"status", 0, "STATUS", "Only provisional or active ones."},
        END,
};

static const struct cli_option get_options[] = {
        {"output", 'o', "FILE", "Write to this file; - is standard output."},
        {"force", 0, NULL, "Replace a file that is there already."},
        {"thumbnail", 't', NULL, "The small picture instead of the file."},
        {"info", 'i', NULL, "Show what is known about the file instead."},
        END,
};

static const struct cli_option status_options[] = {
        {"wait", 'w', NULL, "Wait until the job is done."},
        END,
};

static const struct cli_option dlq_options[] = {
        {"stage", 0, "STAGE", "list: only failures in this stage."},
        {"limit", 'l', "N", "list: at most so many, 1 to 500 (50)."},
        END,
};

static const struct cli_option migrate_options[] = {
        {"from", 0, "URL", "SQLite catalog, its file or its data folder; else the one in the settings."},
        {"to", 0, "URL", "PostgreSQL database; else the one in the settings. DB_PASSWORD is its password."},
        {"storage-from", 0, "URL",
         "Where the objects are; else the folder \"storage\" beside the catalog, or the settings'."},
        {"storage-to", 0, "URL", "Copy the objects there: s3://bucket/prefix or fs:///folder. Else they stay."},
        {"verify", 0, NULL, "Read every byte of every object again, at the target."},
        {"dry-run", 'n', NULL, "Look at everything, change nothing."},
        {"jobs", 'j', "N", "Objects copied at a time, 1 to 32 (4)."},
        {"quiet", 'q', NULL, "No progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option rebuild_options[] = {
        {"from", 0, "URL", "Storage to rebuild from, a folder or s3://bucket/prefix; else the one in the settings."},
        {"owner", 'o', "NAME", "Owner of files that no sidecar tells of (recovered)."},
        {"dry-run", 'n', NULL, "Go the whole way without changing anything."},
        {"quiet", 'q', NULL, "No progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option fsck_options[] = {
        {"repair", 0, NULL,
         "Mend what can be mended without guessing. An embedded installation's server must not run."},
        {"quick", 0, NULL, "Look whether objects are there and have their size; do not read them."},
        {"quiet", 'q', NULL, "No progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option backup_options[] = {
        {"backup", 'b', "NAME", "verify: only this one; restore: this one instead of the newest complete one."},
        {"keep", 0, "N", "create: keep the newest N complete backups, remove older ones and what only they needed."},
        {"verify", 0, NULL,
         "create: also read again what is there already, replace what is damaged; restore --dry-run: read every byte."},
        {"no-derived", 0, NULL, "create, restore: leave thumbnails and previews out."},
        {"dry-run", 'n', NULL, "restore: check that all is there and could be restored, change nothing."},
        {"reuse-objects", 0, NULL, "restore: into a storage that is not empty; what is whole in it stays."},
        {"partial", 0, NULL, "restore: go on without objects that are missing or damaged."},
        {"jobs", 'j', "N", "Objects at a time, 1 to 32 (4)."},
        {"quiet", 'q', NULL, "No progress."},
        {"data", 'd', "PATH", "Short for --set DATA_PATH=PATH."},
        END,
};

static const struct cli_option apikey_options[] = {
        {"scope", 0, "SCOPE", "create: read (the default), write or admin; each includes the ones before it."},
        {"owner", 'o', "NAME", "create: bind the key to this owner; else it is for all."},
        {"name", 0, "TEXT", "create: what it is for, to tell keys apart."},
        {"expires", 0, "WHEN", "create: 90d, 12h, or a time such as 2027-01-31; else never."},
        {"direct", 0, NULL, "create: in the catalog itself, without a server."},
        {"all", 'a', NULL, "list: revoked keys too."},
        SHORTHANDS,
        END,
};

static const struct cli_command commands[] = {
        {"serve", "start the server", "",
         "file-allocator serve\n"
         "file-allocator serve --port 9000 --data /srv/files\n"
         "file-allocator serve --set API_KEY_FILE=/run/secrets/api_key --host 0.0.0.0",
         "Ends on SIGTERM or Ctrl-C when running work is done (SHUTDOWN_GRACE); a second signal ends it at once.",
         server_options, 0, 0, run_serve},
        {"worker", "work for servers elsewhere, without a server", "",
         "file-allocator worker --set DATABASE_URL=postgresql://db/files \\\n"
         "    --set QUEUE_BACKEND=redis --set REDIS_URL=redis://cache\n"
         "file-allocator worker --port 9001 --data /var/lib/file-allocator-worker",
         "Needs the servers' settings: the same PostgreSQL, Redis and storage. \"serve\" brings workers along as well "
         "(WORKER_THREADS); this adds more, on other hosts. With --port it answers /live, /ready, /health and "
         "/metrics.",
         server_options, 0, 0, run_worker},
        {"ingest", "upload files and folders", "PATH…",
         "file-allocator ingest ~/Pictures\n"
         "file-allocator ingest --folder Holidays --tags beach,2024 img1.jpg img2.jpg\n"
         "file-allocator ingest --include '*.jpg' --exclude 'cache' --wait /data/photos",
         "Started again, it goes on where it stopped: each file is hashed, and what the server has already is skipped. "
         "Patterns with a slash look at the path below PATH, others at the name. Symbolic links to folders are not "
         "followed, those to files only within PATH.",
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
         "Without -o the file goes into the current folder under its own name. A file that is there already is only "
         "replaced with --force.",
         get_options, 1, 1, run_get},
        {"folders", "list folders", "",
         "file-allocator folders\n"
         "file-allocator folders --status provisional",
         NULL, folders_options, 0, 0, run_folders},
        {"status", "show how far a job is", "JOB",
         "file-allocator status 01900000-0000-7000-8000-000000000001\n"
         "file-allocator status --wait 01900000-0000-7000-8000-000000000001",
         NULL, status_options, 1, 1, run_status},
        {"dlq", "look after files that could not be processed", "list|show|retry|retry-all|delete [JOB]",
         "file-allocator dlq list\n"
         "file-allocator dlq retry 01900000-0000-7000-8000-000000000001\n"
         "file-allocator dlq retry-all",
         "Deleting an entry gives up processing; the file itself stays stored.", dlq_options, 1, 2, run_dlq},
        {"migrate", "move an embedded installation to PostgreSQL, and its files to S3", "copy",
         "file-allocator migrate copy --from /srv/files --dry-run \\\n"
         "    --to postgresql://files@db.example/files\n"
         "file-allocator migrate copy --from sqlite:////srv/files/catalog.db \\\n"
         "    --to postgresql://files@db.example/files\n"
         "file-allocator migrate copy --data /srv/files --verify \\\n"
         "    --to postgresql://files@db.example/files --storage-to s3://bucket/prefix",
         "Stop the server first. The source is only read. Both sides are compared at the end, and only an equal copy "
         "counts as finished; cut off, or run again, it completes what is missing. Code 0: all is equal; 3: the "
         "catalogs are, but objects are missing or damaged; 1: it failed, or something differs.",
         migrate_options, 1, 1, run_migrate},
        {"rebuild", "make a lost catalog again out of the storage", "",
         "file-allocator rebuild --dry-run\n"
         "file-allocator rebuild --data /srv/files",
         "Stop the server, and move what is left of the catalog away: a rebuild goes into an empty one. Cut off, or "
         "run again, it completes what is missing. Code 0: everything that was known is there again; 3: there is a "
         "catalog, and something is missing, damaged or without a sidecar; 1: it failed.",
         rebuild_options, 0, 0, run_rebuild},
        {"backup", "back up files and catalog, check backups, restore them", "create|list|verify|restore DIR",
         "file-allocator backup create /mnt/backup --keep 30\n"
         "file-allocator backup verify /mnt/backup\n"
         "file-allocator backup restore /mnt/backup --dry-run --data /srv/files\n"
         "file-allocator backup restore /mnt/backup --data /srv/files",
         "create works while the server serves; a file is only copied once into DIR, however many backups hold it. "
         "restore fills an empty installation, the one that the settings name, and can be run again. Codes of create: "
         "0 "
         "all is in it; 3 objects were missing at the source; 1 there is no new backup. Of verify: 1 something is "
         "damaged, and named.",
         backup_options, 2, 2, run_backup},
        {"fsck", "check that everything stored is there and right, and repair", "",
         "file-allocator fsck\n"
         "file-allocator fsck --quick --json\n"
         "file-allocator fsck --repair --data /srv/files",
         "Compares the catalog with itself and with the stored objects, whose hashes are computed again. Without "
         "--repair nothing is changed and a server may be at work; what it changes meanwhile may be told. Repairing "
         "recounts, indexes and derives again and removes leftovers; it deletes no file. Codes: 0 clean; 3 all that "
         "was found is repaired; 1 problems are left, or it could not be checked.",
         fsck_options, 0, 0, run_fsck},
        {"apikey", "make, list and revoke API keys", "create|list|revoke [ID]",
         "file-allocator apikey create --scope admin --direct\n"
         "file-allocator apikey create --scope read,write --owner ann --expires 90d\n"
         "file-allocator apikey list\n"
         "file-allocator apikey revoke 01900000-0000-7000-8000-000000000001",
         "The key is printed once and kept only as a hash. The first one must be an admin's and bound to no owner; "
         "from then on every request needs a key. --direct needs no key and no server: with SQLite the server must not "
         "be running, with PostgreSQL it may.",
         apikey_options, 1, 2, run_apikey},
        {"config", "show, check or document the settings", "show|check|docs",
         "file-allocator config show\n"
         "file-allocator config check --set APP_PORT=9000\n"
         "file-allocator config docs > settings.md",
         NULL, server_options, 1, 1, run_config},
        {"doctor", "check paths, model and disk without a server", "",
         "file-allocator doctor\n"
         "file-allocator doctor --data /srv/files",
         NULL, server_options, 0, 0, run_doctor},
        {"healthcheck", "ask the server whether it is well; for Docker", "", "file-allocator healthcheck",
         "Exit code 0 for healthy and degraded, 1 for everything else.", no_options, 0, 0, run_health},
        {"version", "show the version", "", "file-allocator version", NULL, no_options, 0, 0, run_version},
        {"help", "show help for a command", "[COMMAND]", "file-allocator help ingest", NULL, no_options, 0, 1,
         run_help},
};

const struct cli_syntax cli_syntax = {commands, COUNT_OF(commands), globals};
