# cmake -D FILE=... -D OUT=... -D SYMBOL=... -P embed_text.cmake
# Writes a C file with FILE as one string.
file(READ "${FILE}" text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n\"" text "${text}")
file(WRITE "${OUT}" "/* Made by cmake/embed_text.cmake. */\nextern const char ${SYMBOL}[];\nconst char ${SYMBOL}[] =\n\"${text}\";\n")
