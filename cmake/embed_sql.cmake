# cmake -D FOLDER=... -D OUT=... -D SYMBOL=... -P embed_sql.cmake
# Writes a C file with every NNNN_name.sql of FOLDER as a string, in order, so
# that the program needs no files beside it to make or upgrade a catalog.
file(GLOB files ${FOLDER}/*.sql)
list(SORT files)
set(text "/* Made by cmake/embed_sql.cmake. */\n#include \"catalog/catalog_priv.h\"\n\n")
string(APPEND text "const struct catalog_migration ${SYMBOL}[] = {\n")
foreach(file IN LISTS files)
        get_filename_component(name "${file}" NAME_WE)
        if(NOT name MATCHES "^([0-9][0-9][0-9][0-9])_")
                message(FATAL_ERROR "${file}: migrations are named NNNN_name.sql")
        endif()
        # 1NNNN - 10000: a leading zero would make the number octal.
        math(EXPR version "1${CMAKE_MATCH_1} - 10000")
        file(READ "${file}" sql)
        string(REPLACE "\\" "\\\\" sql "${sql}")
        string(REPLACE "\"" "\\\"" sql "${sql}")
        string(REPLACE "\n" "\\n\"\n\"" sql "${sql}")
        string(APPEND text "{${version}, \"${name}\",\n\"${sql}\"},\n")
endforeach()
string(APPEND text "{0, NULL, NULL},\n};\n")
file(WRITE "${OUT}" "${text}")
